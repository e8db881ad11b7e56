-- One page of findings: the open ones first, then the newest.
select finding_id, key, kind, severity, source, region, subject, said_zh, said_en, opened_at, last_seen_at, times_seen,
       opened_seq, closed_at, closed_by, closed_why, closed_seq
from evidence.findings
where (%(open)s::boolean is null or (closed_at is null) = %(open)s)
  and (%(source)s::text is null or source = %(source)s)
  and (%(subject)s::text is null or subject = %(subject)s)
order by (closed_at is null) desc, (severity = 'critical') desc, opened_at desc, finding_id desc
limit %(page)s offset %(skip)s
