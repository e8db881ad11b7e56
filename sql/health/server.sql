select clock_timestamp() as now, pg_database_size(current_database()) as bytes
