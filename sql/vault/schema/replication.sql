-- Publications; subscriptions without their connection strings, which hold passwords, and without their state
-- (a restore leaves them disabled).
select 'publication' as kind, quote_ident(p.pubname) as identity,
       jsonb_build_object(
           'all_tables', p.puballtables,
           'operations', jsonb_build_array(p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate),
           'via_root', p.pubviaroot,
           'tables', (
               select jsonb_agg(jsonb_build_array(
                          t.schemaname, t.tablename, to_jsonb(t) ->> 'rowfilter',
                          case when to_jsonb(r) ->> 'prattrs' is not null then to_jsonb(t) -> 'attnames' end)
                      order by t.schemaname collate "C", t.tablename collate "C")
               from pg_publication_tables t
               join pg_namespace n on n.nspname = t.schemaname
               join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
               left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = c.oid
               where t.pubname = p.pubname)) as definition
from pg_publication p
union all
select 'subscription', quote_ident(s.subname),
       jsonb_build_object(
           'slot', s.subslotname,
           'publications', (select jsonb_agg(name order by name collate "C")
                            from unnest(s.subpublications) name))
from pg_subscription s
where s.subdbid = (select oid from pg_database where datname = current_database())
