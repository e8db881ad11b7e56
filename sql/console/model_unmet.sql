-- What a gate asked of a run and did not find.
select gate, severity, expected, observed, note_zh, note_en
from quality.results
where run_id = %(run_id)s and not success
order by severity, gate, subject, batch, position
limit 100
