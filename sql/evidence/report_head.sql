-- The last record before the end of the span.
select seq, hash, at from evidence.ledger where at < %(cut)s order by seq desc limit 1
