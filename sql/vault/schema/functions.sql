-- Functions, procedures and window functions with their full text; aggregates from their parts.
select 'function' as kind,
       p.oid::regprocedure::text as identity,
       jsonb_build_object('definition', pg_get_functiondef(p.oid)) as definition
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where p.prokind in ('f', 'p', 'w')
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
  -- made and dropped together with their range type
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                  and d.deptype = 'i')
union all
select 'aggregate', p.oid::regprocedure::text,
       jsonb_build_object(
           'arguments', pg_get_function_arguments(p.oid),
           'result', pg_get_function_result(p.oid),
           'parallel', p.proparallel,
           'kind', a.aggkind,
           'direct_arguments', a.aggnumdirectargs,
           'functions', jsonb_build_array(
               a.aggtransfn::regprocedure::text, a.aggfinalfn::regprocedure::text,
               a.aggcombinefn::regprocedure::text, a.aggserialfn::regprocedure::text,
               a.aggdeserialfn::regprocedure::text, a.aggmtransfn::regprocedure::text,
               a.aggminvtransfn::regprocedure::text, a.aggmfinalfn::regprocedure::text),
           'final_extra', jsonb_build_array(a.aggfinalextra, a.aggmfinalextra),
           'final_modify', jsonb_build_array(a.aggfinalmodify, a.aggmfinalmodify),
           'sort_operator', nullif(a.aggsortop, 0)::regoperator::text,
           'state', jsonb_build_array(a.aggtranstype::regtype::text,
                                      nullif(a.aggmtranstype, 0)::regtype::text),
           'space', jsonb_build_array(a.aggtransspace, a.aggmtransspace),
           'initial', jsonb_build_array(a.agginitval, a.aggminitval))
from pg_aggregate a
join pg_proc p on p.oid = a.aggfnoid
join pg_namespace n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
