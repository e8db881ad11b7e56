-- Indexes, those of constraints included; like pg_dump without invalid ones, which a failed
-- CREATE INDEX CONCURRENTLY leaves behind.
select 'index' as kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) as identity,
       jsonb_build_object(
           'table', i.indrelid::regclass::text,
           'definition', pg_get_indexdef(i.indexrelid),
           'replica_identity', i.indisreplident,
           'clustered', i.indisclustered,
           'tablespace', (select t.spcname from pg_tablespace t where t.oid = c.reltablespace),
           'statistics', (select jsonb_object_agg(a.attnum, (to_jsonb(a) ->> 'attstattarget')::integer)
                          from pg_attribute a
                          where a.attrelid = c.oid
                            and (to_jsonb(a) ->> 'attstattarget')::integer >= 0)) as definition
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_class t on t.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
where (i.indisvalid or t.relkind = 'p')
  and i.indisready
  and t.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = i.indrelid and d.deptype = 'e')
