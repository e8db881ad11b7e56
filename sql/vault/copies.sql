select * from vault.copies where backup_id = %(backup_id)s order by region, object_key
