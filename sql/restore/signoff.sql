select run_id, decision, signed_by, note, via, report_sha256, signed_at, ledger_seq
from restore.signoffs
where run_id = %(run_id)s
