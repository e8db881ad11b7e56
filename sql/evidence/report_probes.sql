select region, at, report -> 'usable' as usable, report -> 'answers' as answers
from vault.probes
where at >= %(since)s and at < %(cut)s
order by region, at, probe_id
