select backup_id, document -> 'objects' as objects, document #> '{encryption,key_ids}' as key_ids
from vault.backups
where backup_id = any (%(backup_ids)s)
