-- Text search configurations, dictionaries, parsers and templates.
select 'text search configuration' as kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.cfgname) as identity,
       jsonb_build_object(
           'parser', (select quote_ident(pn.nspname) || '.' || quote_ident(p.prsname)
                      from pg_ts_parser p join pg_namespace pn on pn.oid = p.prsnamespace
                      where p.oid = c.cfgparser),
           'mappings', (select jsonb_agg(jsonb_build_array(m.maptokentype, m.mapseqno,
                                                         m.mapdict::regdictionary::text)
                                         order by m.maptokentype, m.mapseqno)
                        from pg_ts_config_map m where m.mapcfg = c.oid)) as definition
from pg_ts_config c
join pg_namespace n on n.oid = c.cfgnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_ts_config'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select 'text search dictionary', quote_ident(n.nspname) || '.' || quote_ident(d.dictname),
       jsonb_build_object(
           'template', (select quote_ident(tn.nspname) || '.' || quote_ident(t.tmplname)
                        from pg_ts_template t join pg_namespace tn on tn.oid = t.tmplnamespace
                        where t.oid = d.dicttemplate),
           'options', d.dictinitoption)
from pg_ts_dict d
join pg_namespace n on n.oid = d.dictnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend e
                  where e.classid = 'pg_ts_dict'::regclass and e.objid = d.oid and e.deptype = 'e')
union all
select 'text search parser', quote_ident(n.nspname) || '.' || quote_ident(p.prsname),
       jsonb_build_array(p.prsstart::text, p.prstoken::text, p.prsend::text, p.prsheadline::text,
                         p.prslextype::text)
from pg_ts_parser p
join pg_namespace n on n.oid = p.prsnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_ts_parser'::regclass and d.objid = p.oid and d.deptype = 'e')
union all
select 'text search template', quote_ident(n.nspname) || '.' || quote_ident(t.tmplname),
       jsonb_build_array(t.tmplinit::text, t.tmpllexize::text)
from pg_ts_template t
join pg_namespace n on n.oid = t.tmplnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_ts_template'::regclass and d.objid = t.oid and d.deptype = 'e')
