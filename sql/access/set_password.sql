update console.users set password = %(password)s, changed_at = %(now)s where name = %(name)s
