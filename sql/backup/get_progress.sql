select copies, gate, manifest from backup.progress where backup_id = %(backup_id)s
