-- One row a kind of content. Objects of extensions and of the system are not the user's content.
select (select count(*)
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
          and not exists (select from pg_depend d
                          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')) as tables,
       (select count(*) from pg_largeobject_metadata) as large_objects
