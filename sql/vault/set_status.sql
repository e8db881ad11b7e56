update vault.backups
set status = %(status)s, ended_at = coalesce(ended_at, greatest(started_at, %(now)s)), error = coalesce(%(error)s, error)
where backup_id = %(backup_id)s
