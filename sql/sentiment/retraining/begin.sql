insert into sentiment.retrainings (run_id, dag_id, started_at, started_by, champion)
values (%(run_id)s, %(dag_id)s, %(now)s, %(started_by)s, %(champion)s)
