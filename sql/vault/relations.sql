-- Everything that holds or stands for rows, as pg_dump sees it: no system or temporary schemas, of extensions
-- only the tables they declare as configuration (with their condition).
select c.oid, n.nspname as schema_name, c.relname as name, c.relkind::text as relkind, c.relispartition,
       c.relispopulated, c.relfilenode,
       (select e.extcondition[array_position(e.extconfig, c.oid)]
        from pg_extension e where c.oid = any (e.extconfig)) as extension_condition,
       member.objid is not null as of_extension,
       -- null for what was dropped since the snapshot: found out when it is locked
       coalesce(has_schema_privilege(n.oid, 'USAGE'), true) as schema_usage,
       coalesce(case when c.relkind = 'S' then has_sequence_privilege(c.oid, 'SELECT')
                     else has_table_privilege(c.oid, 'SELECT') end, true) as readable,
       coalesce(c.relkind in ('r', 'p') and row_security_active(c.oid), false) as hides_rows,
       c.relpersistence = 'u' and c.relkind in ('r', 'm', 'S') and pg_is_in_recovery() as only_on_primary,
       case when c.relkind in ('r', 'm') then array(
           select a.attname::text from pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) end as columns
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_depend member
    on member.classid = 'pg_class'::regclass and member.objid = c.oid and member.objsubid = 0
   and member.refclassid = 'pg_extension'::regclass and member.deptype = 'e'
where c.relkind in ('r', 'p', 'm', 'f', 'S')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (member.objid is null
       or exists (select from pg_extension e where c.oid = any (e.extconfig)))
