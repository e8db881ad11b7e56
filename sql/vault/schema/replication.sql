-- Publications, and subscriptions without their connection strings (which hold passwords) and state (a restore
-- leaves them disabled).
select 'publication' as kind, quote_ident(p.pubname) as identity,
       jsonb_build_object(
           'all_tables', p.puballtables,
           'operations', jsonb_build_array(p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate),
           'via_root', p.pubviaroot,
           'tables', (select jsonb_agg(jsonb_build_array(
                          r.prrelid::regclass::text,
                          pg_get_expr((to_jsonb(r) ->> 'prqual')::pg_node_tree, r.prrelid),
                          to_jsonb(r) ->> 'prattrs') order by r.prrelid::regclass::text collate "C")
                      from pg_publication_rel r where r.prpubid = p.oid)) as definition
from pg_publication p
union all
select 'subscription', quote_ident(s.subname),
       jsonb_build_object(
           'slot', s.subslotname,
           'publications', (select jsonb_agg(name order by name collate "C")
                            from unnest(s.subpublications) name))
from pg_subscription s
where s.subdbid = (select oid from pg_database where datname = current_database())
