delete from vault.held_objects
where region = %(region)s and object_key = %(object_key)s and version_id = %(version_id)s
