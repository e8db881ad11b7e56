-- What the ledger says of the versions of this report, the newest first.
select seq, at, entry::jsonb -> 'body' as body
from evidence.ledger
where kind = 'report.made' and subject = %(subject)s
order by seq desc
