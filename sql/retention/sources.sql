select distinct source from vault.backups where expired_at is null and manifest_sha256 is not null order by source
