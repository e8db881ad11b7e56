delete from console.failures where at < %(before)s
