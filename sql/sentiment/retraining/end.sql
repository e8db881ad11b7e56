update sentiment.retrainings
set state = %(state)s, missing = coalesce(%(missing)s, missing), told = coalesce(%(told)s, told),
    decided_by = %(decided_by)s, note = %(note)s, via = %(via)s, ledger_seq = %(ledger_seq)s,
    ended_at = greatest(started_at, %(now)s)
where run_id = %(run_id)s
