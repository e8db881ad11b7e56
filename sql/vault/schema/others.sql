-- Collations, conversions, languages, extended statistics, extensions.
select 'collation' as kind, quote_ident(n.nspname) || '.' || quote_ident(c.collname) as identity,
       jsonb_build_object(
           'provider', c.collprovider,
           'deterministic', c.collisdeterministic,
           'encoding', c.collencoding,
           'locale', jsonb_build_array(
               to_jsonb(c) ->> 'collcollate', to_jsonb(c) ->> 'collctype',
               coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale')),
           'rules', to_jsonb(c) ->> 'collicurules') as definition
from pg_collation c
join pg_namespace n on n.oid = c.collnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_collation'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select 'conversion', quote_ident(n.nspname) || '.' || quote_ident(c.conname),
       jsonb_build_object(
           'from', pg_encoding_to_char(c.conforencoding),
           'to', pg_encoding_to_char(c.contoencoding),
           'function', c.conproc::oid::regprocedure::text,
           'default', c.condefault)
from pg_conversion c
join pg_namespace n on n.oid = c.connamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_conversion'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select 'language', quote_ident(l.lanname),
       jsonb_build_object(
           'trusted', l.lanpltrusted,
           'functions', jsonb_build_array(
               nullif(l.lanplcallfoid, 0)::regprocedure::text, nullif(l.laninline, 0)::regprocedure::text,
               nullif(l.lanvalidator, 0)::regprocedure::text))
from pg_language l
where l.oid >= 16384
  and not exists (select from pg_depend d
                  where d.classid = 'pg_language'::regclass and d.objid = l.oid and d.deptype = 'e')
union all
select 'statistics', quote_ident(n.nspname) || '.' || quote_ident(s.stxname),
       jsonb_build_object(
           'definition', pg_get_statisticsobjdef(s.oid),
           'target', coalesce((to_jsonb(s) ->> 'stxstattarget')::integer, -1))
from pg_statistic_ext s
join pg_namespace n on n.oid = s.stxnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_statistic_ext'::regclass and d.objid = s.oid and d.deptype = 'e')
union all
select 'extension', quote_ident(e.extname),
       jsonb_build_object('version', e.extversion, 'schema', n.nspname)
from pg_extension e
join pg_namespace n on n.oid = e.extnamespace
