select name, roles, created_at, changed_at from console.users order by name
