update vault.backups
set status = %(status)s, decided_at = %(now)s, decided_by = %(by)s, decision_reason = %(reason)s
where backup_id = %(backup_id)s
