update backup.progress set gate = %(gate)s where backup_id = %(backup_id)s
