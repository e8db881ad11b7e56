-- Clocks of several machines differ: a time never goes back.
update evidence.findings
set last_seen_at = greatest(last_seen_at, %(now)s), times_seen = times_seen + 1
where finding_id = %(finding_id)s
returning *
