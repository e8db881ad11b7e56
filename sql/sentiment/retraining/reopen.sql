-- What a gate has passed stays so; what stopped the run is judged again.
update sentiment.retrainings
set state = 'running', missing = null, told = null, ended_at = null, ledger_seq = null,
    gates = (select jsonb_object_agg(key, value) from jsonb_each(gates) where (value ->> 'passed')::boolean)
where run_id = %(run_id)s
