insert into console.users (name, roles, password, created_at, changed_at)
values (%(name)s, %(roles)s, %(password)s, %(now)s, %(now)s)
