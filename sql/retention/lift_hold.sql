update vault.holds
set lifted_at = greatest(placed_at, %(now)s), lifted_by = %(by)s, lift_reason = %(reason)s
where hold_id = %(hold_id)s and lifted_at is null
