insert into sentiment.evaluations (run_id, role, set_name, kind, n, figures)
values (%(run_id)s, %(role)s, %(set_name)s, %(kind)s, %(n)s, %(figures)s)
