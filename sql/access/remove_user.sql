delete from console.users where name = %(name)s
