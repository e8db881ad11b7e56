select hold_id, source, backup_id, span_from, span_until, holder, reason, placed_at, placed_by, lifted_at, lifted_by,
       lift_reason
from vault.holds
where placed_at < %(cut)s and (lifted_at is null or lifted_at >= %(since)s)
order by placed_at, hold_id
