-- A rerun never hides what failed: it is one attempt more.
insert into restore.tests (test_id, dag_id, run_id, attempt, source, region, backup_id, choice, status, started_at,
                           rto_target, rpo_target)
select %(test_id)s, %(dag_id)s, %(run_id)s,
       1 + coalesce(max(t.attempt), 0), %(source)s, %(region)s, %(backup_id)s, %(choice)s, 'running', %(now)s,
       %(rto_target)s, %(rpo_target)s
from restore.tests t
where t.run_id = %(run_id)s and t.source = %(source)s and t.region = %(region)s and t.choice = %(choice)s
returning attempt
