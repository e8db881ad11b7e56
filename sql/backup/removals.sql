select object_key, version_id, kind, bytes, backup_id
from backup.removals
where region = %(region)s and cause = %(cause)s
order by object_key collate "C", version_id collate "C"
