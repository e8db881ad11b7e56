update restore.tests
set status = %(status)s, ended_at = greatest(%(now)s, started_at), rto_seconds = %(rto_seconds)s,
    rpo_seconds = %(rpo_seconds)s, phases = %(phases)s, checks = %(checks)s, document = %(document)s,
    error = %(error)s
where test_id = %(test_id)s and status = 'running'
