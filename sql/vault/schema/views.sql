-- Views, materialized views, and rules besides the one that makes a view.
select case c.relkind when 'v' then 'view' else 'materialized view' end as kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) as identity,
       jsonb_build_object(
           'definition', pg_get_viewdef(c.oid),
           'options', (select jsonb_agg(o order by o collate "C") from unnest(c.reloptions) o),
           'populated', c.relispopulated,
           'access_method', (select a.amname from pg_am a where a.oid = c.relam)) as definition
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select 'rule', r.ev_class::regclass::text || '.' || quote_ident(r.rulename),
       jsonb_build_object('definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled)
from pg_rewrite r
join pg_class c on c.oid = r.ev_class
join pg_namespace n on n.oid = c.relnamespace
where r.rulename <> '_RETURN'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
