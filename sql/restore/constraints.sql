-- Constraints that the catalogue calls valid and that a table's rows, or a domain's values, can break without an
-- index noticing. Of a partitioned foreign key and of an inherited check the topmost stands for all.
select c.oid, c.conname as name, c.conrelid::regclass::text as relation, c.contypid::regtype::text as domain,
       c.contype = 'f' as foreign_key
from pg_constraint c
join pg_namespace n on n.oid = c.connamespace
left join pg_class r on r.oid = c.conrelid
where c.contype in ('c', 'f')
  and c.convalidated
  and coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
  and c.conparentid = 0
  and not (c.contype = 'c' and c.coninhcount > 0)
  and (c.contypid <> 0 or r.relkind in ('r', 'p'))
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by relation, name
