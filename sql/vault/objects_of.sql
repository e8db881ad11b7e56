select backup_id, document -> 'objects' as objects from vault.backups where backup_id = any (%(backup_ids)s)
