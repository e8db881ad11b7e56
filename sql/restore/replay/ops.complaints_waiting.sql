-- What still waits for an answer, as the office's own view shows it: views, generated columns, intervals.
select ticket, platform, category, severity, status, opened_at, answer_due
from ops.open_complaints
