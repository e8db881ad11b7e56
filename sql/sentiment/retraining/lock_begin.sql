-- Who begins waits for who begins.
select pg_advisory_xact_lock(%(lock)s)
