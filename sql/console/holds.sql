-- One page of holds: those in force first, then the newest.
select hold_id, source, backup_id, span_from, span_until, holder, reason, placed_at, placed_by, lifted_at, lifted_by,
       lift_reason
from vault.holds
where (%(source)s::text is null or source = %(source)s)
order by (lifted_at is null) desc, placed_at desc, hold_id desc
limit %(page)s offset %(skip)s
