-- Definitions of sequences; their values are kept apart. 64-bit numbers as text.
select 'sequence' as kind,
       s.seqrelid::regclass::text as identity,
       jsonb_build_object(
           'type', s.seqtypid::regtype::text,
           'start', s.seqstart::text,
           'increment', s.seqincrement::text,
           'minimum', s.seqmin::text,
           'maximum', s.seqmax::text,
           'cache', s.seqcache::text,
           'cycle', s.seqcycle,
           'persistence', c.relpersistence,
           'owned_by', (select d.refobjid::regclass::text || '.' || quote_ident(a.attname)
                        from pg_depend d
                        join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid
                          and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
                          and d.deptype in ('a', 'i'))) as definition
from pg_sequence s
join pg_class c on c.oid = s.seqrelid
join pg_namespace n on n.oid = c.relnamespace
where c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
