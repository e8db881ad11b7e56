-- Large objects that the current role may not read.
select m.oid
from pg_largeobject_metadata m
where current_setting('lo_compat_privileges') = 'off'
  and not (select rolsuper from pg_roles where rolname = current_user)
  and not pg_has_role(m.lomowner, 'USAGE')
  and not exists (
      select from aclexplode(m.lomacl) a
      where a.privilege_type = 'SELECT'
        and (a.grantee = 0 or pg_has_role(a.grantee, 'USAGE')))
order by m.oid
limit 20
