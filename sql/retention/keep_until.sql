select keep_until from vault.backups where backup_id = %(backup_id)s
