-- Every backup that has a manifest, the oldest of each source first.
select backup_id from vault.backups where manifest_sha256 is not null order by source, started_at, backup_id
