-- Owner and privileges of everything that has them. A list that was never touched is null in the catalogue:
-- acldefault gives what it stands for. The owner's MAINTAIN came with 17 and is left out, so that versions
-- compare. Members of extensions are made anew by CREATE EXTENSION and are left out.
with owned (kind, classid, objid, objsubid, identity, owner, acl) as (
    select 'schema', 'pg_namespace'::regclass, n.oid, 0, quote_ident(n.nspname), n.nspowner,
           coalesce(n.nspacl, acldefault('n', n.nspowner))
    from pg_namespace n
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    union all
    select case c.relkind when 'S' then 'sequence' else 'table' end, 'pg_class'::regclass, c.oid, 0,
           c.oid::regclass::text, c.relowner,
           coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))
    from pg_class c
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't'
    union all
    select 'column', 'pg_class'::regclass, c.oid, a.attnum,
           c.oid::regclass::text || '.' || quote_ident(a.attname),
           c.relowner, a.attacl
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    where a.attacl is not null and not a.attisdropped and a.attnum > 0 and c.relpersistence <> 't'
    union all
    select 'function', 'pg_proc'::regclass, p.oid, 0, p.oid::regprocedure::text, p.proowner,
           coalesce(p.proacl, acldefault('f', p.proowner))
    from pg_proc p
    union all
    select 'type', 'pg_type'::regclass, t.oid, 0, t.oid::regtype::text, t.typowner,
           coalesce(t.typacl, acldefault('T', t.typowner))
    from pg_type t
    where t.typtype in ('b', 'd', 'e', 'r', 'c')
      and not exists (select from pg_type e where e.typarray = t.oid)
      and not exists (select from pg_class c where c.oid = t.typrelid and c.relkind <> 'c')
    union all
    select 'language', 'pg_language'::regclass, l.oid, 0, quote_ident(l.lanname), l.lanowner,
           coalesce(l.lanacl, acldefault('l', l.lanowner))
    from pg_language l
    where l.oid >= 16384
    union all
    select 'foreign data wrapper', 'pg_foreign_data_wrapper'::regclass, w.oid, 0, quote_ident(w.fdwname),
           w.fdwowner, coalesce(w.fdwacl, acldefault('F', w.fdwowner))
    from pg_foreign_data_wrapper w
    union all
    select 'foreign server', 'pg_foreign_server'::regclass, s.oid, 0, quote_ident(s.srvname), s.srvowner,
           coalesce(s.srvacl, acldefault('S', s.srvowner))
    from pg_foreign_server s
    union all
    select 'large object', 'pg_largeobject'::regclass, m.oid, 0, m.oid::text, m.lomowner,
           coalesce(m.lomacl, acldefault('L', m.lomowner))
    from pg_largeobject_metadata m
)
select o.kind, o.identity,
       jsonb_build_object(
           'owner', quote_ident(pg_get_userbyid(o.owner)),
           'grants', (select jsonb_agg(g.line order by g.line collate "C")
                      from (select case when a.grantee = 0 then 'PUBLIC'
                                        else quote_ident(pg_get_userbyid(a.grantee)) end
                                   || ' ' || a.privilege_type
                                   || case when a.is_grantable then ' with grant option' else '' end
                                   || ' from ' || quote_ident(pg_get_userbyid(a.grantor)) as line
                            from aclexplode(o.acl) a
                            where not (a.grantee = o.owner and a.privilege_type = 'MAINTAIN')) g)
       ) as definition
from owned o
cross join lateral pg_identify_object(o.classid, o.objid, 0) i
where coalesce(i.schema, '') !~ '^pg_' and coalesce(i.schema, '') <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = o.classid and d.objid = o.objid and d.deptype = 'e')
  -- the functions of a range type are made together with it
  and not (o.kind = 'function'
           and exists (select from pg_depend d
                       where d.classid = o.classid and d.objid = o.objid and d.deptype = 'i'))
