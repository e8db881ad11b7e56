select pg_export_snapshot() as exported, current_setting('server_version') as version,
       pg_database_size(current_database()) as bytes
