-- Writers of labels share this lock; whoever freezes a version takes it alone and so waits for them.
select pg_advisory_xact_lock_shared(%(lock)s)
