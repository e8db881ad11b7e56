update vault.backups
set status = 'staged', document = %(document)s, listing = %(listing)s, snapshot_at = %(snapshot_at)s
where backup_id = %(backup_id)s
