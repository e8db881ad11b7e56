-- What gates refused, with the critical expectations that were not met.
select j.gate, j.subject, j.run_id, j.judged_at,
       coalesce((
           select jsonb_agg(r.batch || ': ' || r.expected || ' / ' || r.observed order by r.batch, r.position)
           from quality.results r
           where (r.gate, r.run_id, r.subject) = (j.gate, j.run_id, j.subject)
             and not r.success and (r.severity = 'critical' or not r.evaluated)), '[]') as reasons
from quality.judgements j
where not j.passed and j.judged_at >= %(since)s and j.judged_at < %(cut)s
order by j.judged_at, j.gate, j.run_id, j.subject
