select batch, position, row_key, row, reason
from quality.quarantine
where gate = %(gate)s and run_id = %(run_id)s and subject = %(subject)s
order by batch, position
limit %(page)s offset %(skip)s
