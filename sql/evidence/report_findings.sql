-- What was open at any time in the span, and what was found out later about a day or test of it (keys).
select f.key, f.kind, f.severity, f.source, f.region, f.subject, f.said_zh, f.said_en, f.opened_at, f.opened_seq,
       f.closed_at, f.closed_by, f.closed_why, f.closed_seq
from evidence.findings f
where (f.opened_at < %(cut)s and (f.closed_at is null or f.closed_at >= %(since)s)) or f.key = any (%(keys)s)
order by f.opened_at, f.finding_id
