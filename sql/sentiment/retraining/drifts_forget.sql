delete from sentiment.drifts where run_id = %(run_id)s
