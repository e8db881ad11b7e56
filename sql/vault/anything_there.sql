-- What somebody has put into this database, at most five: a database that is restored to has nothing.
select * from (
    select 'relation ' || format('%%I.%%I', n.nspname, c.relname) as found
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    union all
    select 'function ' || format('%%I.%%I', n.nspname, p.proname)
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    union all
    select 'schema ' || quote_ident(nspname)
    from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')
    union all
    select 'extension ' || quote_ident(extname) from pg_extension where extname <> 'plpgsql'
    union all
    select 'large object ' || oid from pg_largeobject_metadata
) x
limit 5
