update console.users set roles = %(roles)s, changed_at = %(now)s where name = %(name)s
