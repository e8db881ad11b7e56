-- Who is a member of what. Before 16, INHERIT was a matter of the member alone and SET always allowed.
select 'member' as kind,
       quote_ident(g.rolname) || ' <- ' || quote_ident(m.rolname) as identity,
       jsonb_build_object(
           'admin', bool_or(a.admin_option),
           'inherit', bool_or(coalesce((to_jsonb(a) ->> 'inherit_option')::boolean, m.rolinherit)),
           'set', bool_or(coalesce((to_jsonb(a) ->> 'set_option')::boolean, true))) as definition
from pg_auth_members a
join pg_roles g on g.oid = a.roleid
join pg_roles m on m.oid = a.member
where m.rolname !~ '^pg_'
group by g.rolname, m.rolname
