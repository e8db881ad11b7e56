select test_id, attempt, source, region, backup_id, choice, status, started_at, ended_at, rto_seconds, rpo_seconds,
       rto_target, rpo_target, error,
       (select count(*) from jsonb_array_elements(checks) c where not (c ->> 'ok')::boolean) as differences
from restore.tests
where run_id = %(run_id)s
order by source, region, choice, attempt
