-- Operators, operator families with their members, operator classes, casts, access methods, transforms.
select 'operator' as kind, o.oid::regoperator::text as identity,
       jsonb_build_object(
           'result', o.oprresult::regtype::text,
           'function', nullif(o.oprcode::oid, 0)::regprocedure::text,
           'commutator', nullif(o.oprcom, 0)::regoperator::text,
           'negator', nullif(o.oprnegate, 0)::regoperator::text,
           'estimators', jsonb_build_array(o.oprrest::text, o.oprjoin::text),
           'flags', jsonb_build_array(o.oprcanmerge, o.oprcanhash)) as definition
from pg_operator o
join pg_namespace n on n.oid = o.oprnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_operator'::regclass and d.objid = o.oid and d.deptype = 'e')
union all
select 'operator family', 
       quote_ident(n.nspname) || '.' || quote_ident(f.opfname) || ' using ' || quote_ident(m.amname),
       jsonb_build_object(
           'operators', (select jsonb_agg(jsonb_build_array(a.amopstrategy, a.amopopr::regoperator::text,
                                                            a.amoppurpose)
                                          order by a.amopstrategy, a.amopopr::regoperator::text collate "C")
                         from pg_amop a where a.amopfamily = f.oid),
           'functions', (select jsonb_agg(jsonb_build_array(a.amprocnum, a.amproc::oid::regprocedure::text,
                                                            a.amproclefttype::regtype::text,
                                                            a.amprocrighttype::regtype::text)
                                          order by a.amprocnum, a.amproclefttype::regtype::text collate "C",
                                                   a.amprocrighttype::regtype::text collate "C")
                         from pg_amproc a where a.amprocfamily = f.oid))
from pg_opfamily f
join pg_namespace n on n.oid = f.opfnamespace
join pg_am m on m.oid = f.opfmethod
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_opfamily'::regclass and d.objid = f.oid and d.deptype = 'e')
union all
select 'operator class', 
       quote_ident(n.nspname) || '.' || quote_ident(c.opcname) || ' using ' || quote_ident(m.amname),
       jsonb_build_object(
           'family', (select quote_ident(fn.nspname) || '.' || quote_ident(f.opfname)
                      from pg_opfamily f join pg_namespace fn on fn.oid = f.opfnamespace
                      where f.oid = c.opcfamily),
           'type', c.opcintype::regtype::text,
           'default', c.opcdefault,
           'stored', nullif(c.opckeytype, 0)::regtype::text)
from pg_opclass c
join pg_namespace n on n.oid = c.opcnamespace
join pg_am m on m.oid = c.opcmethod
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_opclass'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select 'cast', c.castsource::regtype::text || ' as ' || c.casttarget::regtype::text,
       jsonb_build_object(
           'function', nullif(c.castfunc, 0)::regprocedure::text,
           'context', c.castcontext,
           'method', c.castmethod)
from pg_cast c
where c.oid >= 16384
  and not exists (select from pg_depend d
                  where d.classid = 'pg_cast'::regclass and d.objid = c.oid and d.deptype = 'e')
  -- made together with their range type
  and not exists (select from pg_depend d where d.classid = 'pg_cast'::regclass and d.objid = c.oid
                  and d.deptype = 'i')
union all
select 'access method', quote_ident(a.amname),
       jsonb_build_object('handler', a.amhandler::oid::regprocedure::text, 'type', a.amtype)
from pg_am a
where a.oid >= 16384
  and not exists (select from pg_depend d
                  where d.classid = 'pg_am'::regclass and d.objid = a.oid and d.deptype = 'e')
union all
select 'transform', t.trftype::regtype::text || ' for ' || quote_ident(l.lanname),
       jsonb_build_object(
           'from', nullif(t.trffromsql::oid, 0)::regprocedure::text,
           'to', nullif(t.trftosql::oid, 0)::regprocedure::text)
from pg_transform t
join pg_language l on l.oid = t.trflang
where not exists (select from pg_depend d
                  where d.classid = 'pg_transform'::regclass and d.objid = t.oid and d.deptype = 'e')
