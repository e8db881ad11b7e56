select test_id, dag_id, run_id, attempt, source, region, backup_id, choice, status, started_at, ended_at,
       rto_seconds, rpo_seconds, rto_target, rpo_target, phases, checks, document, error
from restore.tests
where (%(run_id)s::text is null or run_id = %(run_id)s)
  and (%(source)s::text is null or source = %(source)s)
  and (%(test_id)s::text is null or test_id = %(test_id)s)
order by started_at desc, test_id desc
limit %(n)s
