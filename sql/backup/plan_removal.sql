insert into backup.removals (region, object_key, version_id, kind, bytes, backup_id, planned_at, cause)
values (%(region)s, %(object_key)s, %(version_id)s, %(kind)s, %(bytes)s, %(backup_id)s, %(planned_at)s, %(cause)s)
on conflict do nothing
