-- What gates said of a run.
select gate, run_id, subject, judged_at, passed
from quality.judgements
where run_id = %(run_id)s
order by judged_at, gate, subject
limit 50
