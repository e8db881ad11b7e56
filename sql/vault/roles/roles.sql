-- The pg_roles view shows no password hashes. Its roles pg_* belong to PostgreSQL.
select 'role' as kind, quote_ident(r.rolname) as identity,
       jsonb_build_object(
           'superuser', r.rolsuper,
           'inherit', r.rolinherit,
           'create_role', r.rolcreaterole,
           'create_database', r.rolcreatedb,
           'login', r.rolcanlogin,
           'replication', r.rolreplication,
           'bypass_row_security', r.rolbypassrls,
           'connection_limit', r.rolconnlimit,
           'valid_until', r.rolvaliduntil::text,
           'settings', (select jsonb_agg(s order by s collate "C") from unnest(r.rolconfig) s),
           'comment', shobj_description(r.oid, 'pg_authid')) as definition
from pg_roles r
where r.rolname !~ '^pg_'
