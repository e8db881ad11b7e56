select gate, run_id, subject, gate_sha256, dag_id, judged_at, passed, staged, published, quarantined, docs
from quality.judgements
where gate = %(gate)s and run_id = %(run_id)s and subject = %(subject)s
