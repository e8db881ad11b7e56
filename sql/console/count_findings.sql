select count(*) as open, count(*) filter (where severity = 'critical') as critical
from evidence.findings
where closed_at is null
