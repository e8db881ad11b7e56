-- Every attempt that the catalogue knows. Of those with `has_manifest` it knows every object they refer to.
select backup_id, status,
       status in ('staged', 'sealed', 'degraded', 'suspect', 'accepted', 'rejected') as has_manifest
from vault.backups
