select run_id from sentiment.retrainings where run_id = %(run_id)s for update
