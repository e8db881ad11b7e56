select hold_id, source, backup_id, span_from, span_until, holder, reason, placed_at, placed_by, lifted_at, lifted_by,
       lift_reason
from vault.holds
where hold_id = %(hold_id)s
