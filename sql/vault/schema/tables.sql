-- Schemas; tables, partitioned tables and foreign tables without their columns.
select 'schema' as kind, quote_ident(n.nspname) as identity, '{}'::jsonb as definition
from pg_namespace n
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
union all
select case c.relkind when 'f' then 'foreign table' else 'table' end,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname),
       jsonb_build_object(
           'relkind', c.relkind,
           'persistence', c.relpersistence,
           'partition_key', case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end,
           'partition_bound', pg_get_expr(c.relpartbound, c.oid),
           'parents', (select jsonb_agg(i.inhparent::regclass::text order by i.inhseqno)
                       from pg_inherits i where i.inhrelid = c.oid),
           'of_type', nullif(c.reloftype, 0)::regtype::text,
           'access_method', (select a.amname from pg_am a where a.oid = c.relam),
           'tablespace', (select t.spcname from pg_tablespace t where t.oid = c.reltablespace),
           'options', (select jsonb_agg(o order by o collate "C") from unnest(c.reloptions) o),
           'toast_options', (select jsonb_agg(o order by o collate "C")
                             from pg_class t, unnest(t.reloptions) o where t.oid = c.reltoastrelid),
           'replica_identity', c.relreplident,
           'row_security', c.relrowsecurity,
           'force_row_security', c.relforcerowsecurity,
           'server', (select s.srvname from pg_foreign_table f join pg_foreign_server s on s.oid = f.ftserver
                      where f.ftrelid = c.oid),
           'foreign_options', (select jsonb_agg(o order by o collate "C")
                               from pg_foreign_table f, unnest(f.ftoptions) o where f.ftrelid = c.oid))
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
