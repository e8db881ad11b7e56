select test_id, dag_id, run_id, attempt, source, region, backup_id, choice, status, started_at, ended_at, rto_seconds,
       rpo_seconds, rto_target, rpo_target, phases, checks, error
from restore.tests
where test_id = %(test_id)s
