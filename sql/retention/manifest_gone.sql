update vault.expiries set manifest_gone_at = %(now)s
where backup_id = %(backup_id)s and region = %(region)s and manifest_gone_at is null
