-- How far a backup is known, without its manifest.
select status, manifest_sha256, decided_by, decision_reason from vault.backups where backup_id = %(backup_id)s
