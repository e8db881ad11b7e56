select hold_id from vault.holds
where lifted_at is null and source = %(source)s and backup_id is not distinct from %(backup_id)s
  and span_from is not distinct from %(span_from)s and span_until is not distinct from %(span_until)s
  and holder = %(holder)s and reason = %(reason)s
