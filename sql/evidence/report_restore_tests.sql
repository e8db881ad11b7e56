select t.test_id, t.run_id, t.attempt, t.source, t.region, t.backup_id, t.choice, t.status, t.started_at, t.ended_at,
       t.rto_seconds, t.rto_target, t.rpo_seconds, t.rpo_target, t.phases, t.checks, t.error
from restore.tests t
where t.started_at >= %(since)s and t.started_at < %(cut)s
order by t.started_at, t.source, t.region, t.choice, t.attempt, t.test_id
