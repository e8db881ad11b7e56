select object_key, version_id, means, until, seen_at from vault.held_objects
where region = %(region)s
order by object_key, version_id
