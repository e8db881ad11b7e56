-- No writer of labels is in between from here to the end of the transaction.
select pg_advisory_xact_lock(%(lock)s)
