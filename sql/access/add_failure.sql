insert into console.failures (what_sha256, at) values (%(what)s, %(now)s)
