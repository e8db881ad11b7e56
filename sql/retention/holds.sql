select hold_id, source, backup_id, span_from, span_until, holder, reason, placed_at, placed_by, lifted_at, lifted_by,
       lift_reason
from vault.holds
where (%(source)s::text is null or source = %(source)s)
  and (%(all)s or lifted_at is null)
order by placed_at, hold_id
