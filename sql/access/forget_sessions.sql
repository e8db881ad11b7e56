delete from console.sessions where begun_at <= %(begun)s or seen_at <= %(seen)s
