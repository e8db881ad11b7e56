select check_id, mode, asked_by, asked_at, state, ok, report, ended_at
from console.checks
where backup_id = %(backup_id)s
order by check_id desc
limit 10
