select hold_id, holder, reason, placed_at
from vault.holds
where lifted_at is null and source = %(source)s
  and (backup_id = %(backup_id)s
       or (backup_id is null
           and (span_from is null or span_from <= %(snapshot_at)s)
           and (span_until is null or span_until > %(snapshot_at)s)))
order by placed_at
