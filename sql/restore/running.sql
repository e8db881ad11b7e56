select test_id, dag_id, run_id, attempt, source, region, backup_id, choice, started_at
from restore.tests
where status = 'running'
order by started_at, test_id
