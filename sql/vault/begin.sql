insert into vault.backups
    (backup_id, source, source_type, data_class, dag_id, run_id, try_number, status, started_at)
values
    (%(backup_id)s, %(source)s, %(source_type)s, %(data_class)s, %(dag_id)s, %(run_id)s, %(try_number)s,
     'staging', %(started_at)s)
on conflict (backup_id) do nothing
