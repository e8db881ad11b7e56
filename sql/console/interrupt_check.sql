update console.checks set state = 'interrupted', ended_at = greatest(%(now)s, asked_at)
where check_id = %(check_id)s and state = 'running'
