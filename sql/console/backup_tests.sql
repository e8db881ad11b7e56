select test_id, region, choice, status, started_at, rto_seconds
from restore.tests
where source = %(source)s and backup_id = %(backup_id)s
order by started_at desc
limit 20
