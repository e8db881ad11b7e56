-- Triggers that somebody made (partitions inherit theirs), and event triggers.
select 'trigger' as kind,
       t.tgrelid::regclass::text || '.' || quote_ident(t.tgname) as identity,
       jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled) as definition
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal
  and t.tgparentid = 0
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_trigger'::regclass and d.objid = t.oid and d.deptype = 'e')
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select 'event trigger', quote_ident(e.evtname),
       jsonb_build_object(
           'event', e.evtevent,
           'function', e.evtfoid::regprocedure::text,
           'enabled', e.evtenabled,
           'tags', (select jsonb_agg(tag order by tag collate "C") from unnest(e.evttags) tag))
from pg_event_trigger e
where not exists (select from pg_depend d
                  where d.classid = 'pg_event_trigger'::regclass and d.objid = e.oid and d.deptype = 'e')
