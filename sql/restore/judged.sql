select j.passed, j.gate_sha256, j.judged_at,
       coalesce((select jsonb_agg(jsonb_build_object('expectation', r.batch || '.' || r.expectation,
                                                     'severity', r.severity, 'expected', r.expected,
                                                     'observed', r.observed) order by r.batch, r.position)
                 from quality.results r
                 where r.gate = j.gate and r.run_id = j.run_id and r.subject = j.subject and not r.success), '[]')
           as failures
from quality.judgements j
where j.gate = 'restore' and j.run_id = %(run_id)s and j.subject = %(run_id)s
