-- Whether nobody heals this backup or decides on it now; if so, nobody does until the transaction ends.
select pg_try_advisory_xact_lock(%(number)s) as free
