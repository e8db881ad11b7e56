select d.datname as database,
       current_setting('server_version') as server_version,
       current_setting('server_version_num')::integer as server_version_num,
       getdatabaseencoding() as encoding,
       concat_ws(' ', d.datcollate, d.datctype, 'provider=' || (to_jsonb(d) ->> 'datlocprovider'),
                 'locale=' || coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))
           as collation
from pg_database d
where d.datname = current_database()
