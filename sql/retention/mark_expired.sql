update vault.backups set expired_at = %(now)s where backup_id = %(backup_id)s and expired_at is null
