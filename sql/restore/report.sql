select r.run_id, r.dag_id, r.made_at, r.started_by, r.passed, r.tests, r.failed, r.document, r.sha256,
       s.decision, s.signed_by, s.note, s.via, s.report_sha256, s.signed_at, s.ledger_seq
from restore.reports r
left join restore.signoffs s on s.run_id = r.run_id
where (%(run_id)s::text is null or r.run_id = %(run_id)s)
order by r.made_at desc
limit %(n)s
