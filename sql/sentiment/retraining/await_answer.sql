update sentiment.retrainings set state = 'awaiting' where run_id = %(run_id)s
