-- Why rows were refused, without the rows.
select batch, reason, count(*) as rows
from quality.quarantine
where gate = %(gate)s and run_id = %(run_id)s and subject = %(subject)s
group by batch, reason
order by count(*) desc, batch, reason
limit 100
