select role, set_name, kind, n, figures from sentiment.evaluations where run_id = %(run_id)s
order by (kind = 'frozen') desc, (kind = 'recent') desc, kind desc, set_name, role
