update vault.expiries set left_keys = %(left_keys)s, done_at = %(done_at)s
where backup_id = %(backup_id)s and region = %(region)s
