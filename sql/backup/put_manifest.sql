update backup.progress set manifest = %(manifest)s where backup_id = %(backup_id)s
