delete from console.sessions where name = %(name)s
