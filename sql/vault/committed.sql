-- Every backup that has a manifest and was not removed, the oldest of each source first.
select backup_id from vault.backups where manifest_sha256 is not null and expired_at is null order by source, started_at, backup_id
