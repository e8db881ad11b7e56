select 'policy' as kind,
       p.polrelid::regclass::text || '.' || quote_ident(p.polname) as identity,
       jsonb_build_object(
           'command', p.polcmd,
           'permissive', p.polpermissive,
           'roles', (select jsonb_agg(case when r = 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(r)) end
                                      order by pg_get_userbyid(r) collate "C") from unnest(p.polroles) r),
           'using', pg_get_expr(p.polqual, p.polrelid),
           'check', pg_get_expr(p.polwithcheck, p.polrelid)) as definition
from pg_policy p
join pg_class c on c.oid = p.polrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  and not exists (select from pg_depend d
                  where d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.deptype = 'e')
