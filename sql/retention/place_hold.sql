insert into vault.holds
    (hold_id, source, backup_id, span_from, span_until, holder, reason, placed_at, placed_by)
values
    (%(hold_id)s, %(source)s, %(backup_id)s, %(span_from)s, %(span_until)s, %(holder)s, %(reason)s, %(placed_at)s,
     %(placed_by)s)
