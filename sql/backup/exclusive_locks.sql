-- Tables of this database that somebody has locked, or waits to lock, against every reader.
select distinct quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name, l.pid
from pg_locks l
join pg_class c on c.oid = l.relation
join pg_namespace n on n.oid = c.relnamespace
where l.database = (select oid from pg_database where datname = current_database())
  and l.mode = 'AccessExclusiveLock'
  and c.relkind in ('r', 'p', 'm', 'S')
order by 1, 2
limit 20
