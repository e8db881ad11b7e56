select password from console.users where name = %(name)s
