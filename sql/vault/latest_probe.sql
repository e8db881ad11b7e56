select region, at, report
from vault.probes
where region = %(region)s
order by at desc, probe_id desc
limit 1
