-- Reports of runs that were made, or whose tests were begun, in the span, and what was said to them.
select r.run_id, r.made_at, r.passed, r.tests, r.failed, r.sha256, s.decision, s.signed_by, s.signed_at, s.via,
       coalesce(s.note, '') as note, s.ledger_seq
from restore.reports r
left join restore.signoffs s using (run_id)
where (r.made_at >= %(since)s and r.made_at < %(cut)s)
   or exists (select from restore.tests t
              where t.run_id = r.run_id and t.started_at >= %(since)s and t.started_at < %(cut)s)
order by r.made_at, r.run_id
