select gate, run_id, subject, dag_id, judged_at, passed, staged, published, quarantined
from quality.judgements
where (%(gate)s::text is null or gate = %(gate)s)
  and (%(passed)s::boolean is null or passed = %(passed)s)
  and (%(at)s::timestamptz is null or judged_at < %(at)s)
order by judged_at desc, gate, run_id, subject
limit %(page)s
