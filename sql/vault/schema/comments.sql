-- Comments on what users made. Numbers below 16384 belong to what initdb made; of that only the schema
-- public can carry a comment that pg_dump keeps.
select 'comment' as kind,
       i.type || ' ' || i.identity as identity,
       jsonb_build_object('text', c.description) as definition
from pg_description c
cross join lateral pg_identify_object(c.classoid, c.objoid, c.objsubid) i
where (c.objoid >= 16384
       or (c.classoid = 'pg_namespace'::regclass
           and c.objoid = (select oid from pg_namespace where nspname = 'public')))
  and coalesce(i.schema, '') !~ '^pg_'
  and i.identity is not null
  and not exists (select from pg_depend d where d.classid = c.classoid and d.objid = c.objoid
                  and d.deptype = 'e')
  and c.description <> 'standard public schema'
union all
select 'security label', i.type || ' ' || i.identity || ' by ' || l.provider,
       jsonb_build_object('label', l.label)
from pg_seclabel l
cross join lateral pg_identify_object(l.classoid, l.objoid, l.objsubid) i
where l.objoid >= 16384
  and i.identity is not null
