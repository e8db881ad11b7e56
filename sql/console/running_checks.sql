select check_id, backup_id from console.checks where state = 'running' and backup_id = %(backup_id)s
