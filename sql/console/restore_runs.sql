-- One page of runs with their reports and what people said to them; runs that are not reported yet come first.
select t.run_id, min(t.started_at) as started_at, max(t.ended_at) as ended_at, count(*) as tests,
       count(*) filter (where t.status = 'passed') as passed,
       count(*) filter (where t.status in ('failed', 'error')) as failed,
       count(*) filter (where t.status = 'running') as running,
       max(t.rto_seconds) as worst_rto, r.sha256, r.passed as report_passed, s.decision, s.signed_by, s.signed_at
from restore.tests t
left join restore.reports r using (run_id)
left join restore.signoffs s using (run_id)
group by t.run_id, r.sha256, r.passed, s.decision, s.signed_by, s.signed_at
order by min(t.started_at) desc, t.run_id desc
limit %(page)s offset %(skip)s
