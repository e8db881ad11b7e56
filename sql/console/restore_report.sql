select r.run_id, r.dag_id, r.made_at, r.started_by, r.passed, r.tests, r.failed, r.sha256,
       s.decision, s.signed_by, s.note, s.via, s.report_sha256, s.signed_at, s.ledger_seq
from restore.reports r
left join restore.signoffs s using (run_id)
where r.run_id = %(run_id)s
