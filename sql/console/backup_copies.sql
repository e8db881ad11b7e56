select region, object_key, state, version_id, sha256, size, lock_mode, retain_until, read_back_at, error
from vault.copies
where backup_id = %(backup_id)s
order by (state = 'verified'), region, object_key
limit %(page)s offset %(skip)s
