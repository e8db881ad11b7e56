select gate, run_id, subject, judged_at, passed, quarantined
from quality.judgements
where subject = %(subject)s
order by judged_at desc
limit 20
