-- Constraints of tables and domains. NOT NULL stands with the column (18 has constraints for it besides), and
-- the foreign keys that PostgreSQL derives for partitions follow from those of the parent.
select 'constraint' as kind,
       coalesce(c.oid::regclass::text, t.oid::regtype::text) || '.' || quote_ident(k.conname) as identity,
       jsonb_build_object(
           'type', k.contype,
           'definition', pg_get_constraintdef(k.oid),
           'validated', k.convalidated,
           'enforced', coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)) as definition
from pg_constraint k
join pg_namespace n on n.oid = k.connamespace
left join pg_class c on c.oid = k.conrelid
left join pg_type t on t.oid = k.contypid
where k.contype in ('c', 'f', 'p', 'u', 'x')
  and not (k.contype = 'f' and k.conparentid <> 0)
  and coalesce(c.relpersistence, 'p') <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = k.conrelid and d.deptype = 'e')
  and not exists (select from pg_depend d
                  where d.classid = 'pg_type'::regclass and d.objid = k.contypid and d.deptype = 'e')
