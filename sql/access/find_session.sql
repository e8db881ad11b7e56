select u.name, u.roles, s.seen_at
from console.sessions s join console.users u using (name)
where s.token_sha256 = %(token)s and s.begun_at > %(begun)s and s.seen_at > %(seen)s
