update vault.backups
set status = 'abandoned', ended_at = greatest(started_at, %(now)s), error = %(error)s
where source = %(source)s
  and status = 'staging'
  and (%(run_id)s::text is null or run_id = %(run_id)s)
returning backup_id
