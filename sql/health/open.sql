select backup_id, status, started_at
from vault.backups
where status in ('staging', 'staged', 'suspect', 'degraded') and expired_at is null
order by started_at, backup_id
