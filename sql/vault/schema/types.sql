-- Enums, domains, ranges, composite types (their columns stand with the columns) and base types.
select case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'r' then 'range'
                      when 'c' then 'composite type' else 'base type' end as kind,
       t.oid::regtype::text as identity,
       jsonb_build_object(
           'labels', (select jsonb_agg(e.enumlabel order by e.enumsortorder)
                      from pg_enum e where e.enumtypid = t.oid),
           'base', case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end,
           'not_null', case when t.typtype = 'd' then t.typnotnull end,
           'default', case when t.typtype = 'd' and t.typdefaultbin is not null
                           then pg_get_expr(t.typdefaultbin, 0) else t.typdefault end,
           'collation', case when t.typtype = 'd' then (
               select quote_ident(cn.nspname) || '.' || quote_ident(c.collname)
               from pg_collation c join pg_namespace cn on cn.oid = c.collnamespace
               where c.oid = t.typcollation) end,
           'range', (select jsonb_build_array(
                         r.rngsubtype::regtype::text,
                         nullif(r.rngcanonical::oid, 0)::regprocedure::text,
                         nullif(r.rngsubdiff::oid, 0)::regprocedure::text,
                         (select quote_ident(o.opcname) from pg_opclass o where o.oid = r.rngsubopc),
                         (select quote_ident(c.collname) from pg_collation c where c.oid = r.rngcollation),
                         (to_jsonb(r) ->> 'rngmultitypid')::oid::regtype::text)
                     from pg_range r where r.rngtypid = t.oid),
           'physical', case when t.typtype = 'b' then jsonb_build_array(
               t.typlen, t.typbyval, t.typalign, t.typstorage, t.typcategory, t.typispreferred, t.typdelim,
               t.typinput::text, t.typoutput::text, t.typreceive::text, t.typsend::text, t.typmodin::text,
               t.typmodout::text, t.typanalyze::text, t.typisdefined) end) as definition
from pg_type t
join pg_namespace n on n.oid = t.typnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (t.typtype in ('e', 'd', 'r')
       or (t.typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
       or (t.typtype = 'b' and not exists (select from pg_type e where e.typarray = t.oid)))
  and not exists (select from pg_depend d
                  where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')
