-- Restore tests that ended since then, oldest first: the points of the charts.
select test_id, run_id, source, region, choice, status, started_at, rto_seconds, rpo_seconds, rto_target, rpo_target
from restore.tests
where started_at >= %(since)s and status <> 'running'
  and (%(source)s::text is null or source = %(source)s)
order by started_at, test_id
