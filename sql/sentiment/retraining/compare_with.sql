-- Another champion: what was measured against the one before is not what is asked.
with e as (delete from sentiment.evaluations where run_id = %(run_id)s),
     c as (delete from sentiment.comparisons where run_id = %(run_id)s),
     d as (delete from sentiment.differences where run_id = %(run_id)s)
update sentiment.retrainings
set champion = %(champion)s, measured = null, state = 'running', gates = gates - 'model'
where run_id = %(run_id)s
