insert into console.sessions (token_sha256, name, begun_at, seen_at) values (%(token)s, %(name)s, %(now)s, %(now)s)
