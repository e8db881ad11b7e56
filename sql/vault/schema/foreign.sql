-- Foreign data wrappers, servers, user mappings. Options of the latter two can hold passwords: of servers the
-- names of the options, of mappings nothing.
select 'foreign data wrapper' as kind, quote_ident(w.fdwname) as identity,
       jsonb_build_object(
           'handler', nullif(w.fdwhandler, 0)::regprocedure::text,
           'validator', nullif(w.fdwvalidator, 0)::regprocedure::text,
           'options', (select jsonb_agg(o order by o collate "C") from unnest(w.fdwoptions) o)) as definition
from pg_foreign_data_wrapper w
where not exists (select from pg_depend d
                  where d.classid = 'pg_foreign_data_wrapper'::regclass and d.objid = w.oid
                    and d.deptype = 'e')
union all
select 'foreign server', quote_ident(s.srvname),
       jsonb_build_object(
           'wrapper', (select w.fdwname from pg_foreign_data_wrapper w where w.oid = s.srvfdw),
           'type', s.srvtype,
           'version', s.srvversion,
           'options', (select jsonb_agg(split_part(o, '=', 1) order by o collate "C")
                       from unnest(s.srvoptions) o))
from pg_foreign_server s
where not exists (select from pg_depend d
                  where d.classid = 'pg_foreign_server'::regclass and d.objid = s.oid and d.deptype = 'e')
union all
select 'user mapping', quote_ident(m.usename) || ' on ' || quote_ident(m.srvname), '{}'::jsonb
from pg_user_mappings m
