-- How far a backup is known, without its manifest.
select status, manifest_sha256, decided_by, decision_reason, expired_at from vault.backups where backup_id = %(backup_id)s
