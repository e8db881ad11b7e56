-- What ALTER DEFAULT PRIVILEGES set.
select 'default privileges' as kind,
       quote_ident(pg_get_userbyid(d.defaclrole)) || ' ' || d.defaclobjtype::text
           || coalesce(' in ' || quote_ident(n.nspname), '') as identity,
       jsonb_build_object('grants', (
           select jsonb_agg(g.line order by g.line collate "C")
           from (select case when a.grantee = 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(a.grantee)) end
                        || ' ' || a.privilege_type
                        || case when a.is_grantable then ' with grant option' else '' end as line
                 from aclexplode(d.defaclacl) a
                 where not (a.grantee = d.defaclrole and a.privilege_type = 'MAINTAIN')) g)) as definition
from pg_default_acl d
left join pg_namespace n on n.oid = d.defaclnamespace
