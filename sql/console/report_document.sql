select document from restore.reports where run_id = %(run_id)s
