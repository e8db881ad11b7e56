-- Without the keys of bad rows: they can name people.
select batch, position, expectation, columns, severity, success, evaluated, expected, observed, unexpected_count,
       element_count, note_zh, note_en
from quality.results
where gate = %(gate)s and run_id = %(run_id)s and subject = %(subject)s
order by batch, position
limit 500
