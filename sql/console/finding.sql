select finding_id, key, kind, severity, source, region, subject, said_zh, said_en, detail, opened_at, last_seen_at,
       times_seen, opened_seq, closed_at, closed_by, closed_why, closed_seq
from evidence.findings
where finding_id = %(finding_id)s
