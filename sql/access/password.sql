-- Until the sign-in ends nobody changes the password: a change ends every session, also the one that begins here.
select password from console.users where name = %(name)s for share
