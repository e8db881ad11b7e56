-- What a restore has to know of the server that it restores to.
select current_setting('server_version') as server_version,
       current_setting('server_version_num')::integer as server_version_num,
       (select rolsuper from pg_roles where rolname = current_user) as is_superuser,
       (select rolsuper or rolcreatedb from pg_roles where rolname = current_user) as may_create,
       (select array_agg(name::text) from pg_available_extensions) as extensions,
       (select array_agg(spcname::text) from pg_tablespace) as tablespaces,
       (select array_agg(rolname::text) from pg_roles) as roles,
       case when pg_has_role(current_user, 'pg_read_all_settings', 'member') then
           current_setting('data_directory', true)
       end as data_directory
