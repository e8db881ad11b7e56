select backup_id, source, snapshot_at, expired_at, generations
from vault.backups
where expired_at >= %(since)s and expired_at < %(cut)s
order by expired_at, backup_id
