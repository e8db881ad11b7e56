insert into vault.backups
    (backup_id, source, source_type, data_class, dag_id, run_id, try_number, status, started_at, snapshot_at,
     ended_at, document, listing, manifest_sha256, error)
values
    (%(backup_id)s, %(source)s, %(source_type)s, %(data_class)s, %(dag_id)s, %(run_id)s, %(try_number)s,
     %(status)s, %(started_at)s, %(snapshot_at)s, %(ended_at)s, %(document)s, %(listing)s,
     %(manifest_sha256)s, %(error)s)
on conflict (backup_id) do nothing
