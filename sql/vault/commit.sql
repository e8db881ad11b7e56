update vault.backups
set status = %(status)s, document = %(document)s, listing = %(listing)s, manifest_sha256 = %(manifest_sha256)s,
    snapshot_at = %(snapshot_at)s, ended_at = %(ended_at)s, error = %(error)s
where backup_id = %(backup_id)s
