-- Columns of tables, views, materialized views, foreign tables and composite types. What some versions do not
-- have is read through to_jsonb, as its default.
select 'column' as kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname) as identity,
       jsonb_build_object(
           'type', format_type(a.atttypid, a.atttypmod),
           'not_null', a.attnotnull,
           'default', pg_get_expr(d.adbin, d.adrelid),
           'identity', a.attidentity,
           'generated', a.attgenerated,
           'collation', case when a.attcollation <> t.typcollation then (
               select quote_ident(cn.nspname) || '.' || quote_ident(co.collname)
               from pg_collation co join pg_namespace cn on cn.oid = co.collnamespace
               where co.oid = a.attcollation) end,
           'storage', case when a.attstorage <> t.typstorage then a.attstorage end,
           'compression', nullif(to_jsonb(a) ->> 'attcompression', ''),
           'statistics', coalesce((to_jsonb(a) ->> 'attstattarget')::integer, -1),
           'options', (select jsonb_agg(o order by o collate "C") from unnest(a.attoptions) o),
           'foreign_options', (select jsonb_agg(o order by o collate "C") from unnest(a.attfdwoptions) o),
           'local', case when not c.relispartition then a.attislocal end,
           -- a restore may put inherited columns first, so only other relations have a fixed order
           'position', case when not exists (select from pg_inherits i where i.inhrelid = c.oid) then (
               select count(*) from pg_attribute b
               where b.attrelid = a.attrelid and b.attnum between 1 and a.attnum and not b.attisdropped)
               end) as definition
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0
  and not a.attisdropped
  and c.relkind in ('r', 'p', 'f', 'v', 'm', 'c')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  and not exists (select from pg_depend d join pg_type ct on d.objid = ct.oid
                  where d.classid = 'pg_type'::regclass and d.deptype = 'e' and ct.typrelid = c.oid)
