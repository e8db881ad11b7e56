-- Backups of a source that are removed, good ones and others.
select backup_id, status, snapshot_at
from vault.backups
where source = %(source)s and expired_at is not null and manifest_sha256 is not null
order by snapshot_at, backup_id
