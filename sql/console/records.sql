-- One page of the ledger, newest first. A subject is given by its beginning.
select seq, at, kind, subject, hash
from evidence.ledger
where (%(before)s::bigint is null or seq < %(before)s)
  and (%(kind)s::text is null or kind = %(kind)s)
  and (%(subject)s::text is null or (subject >= %(subject)s and subject < %(subject)s || chr(1114111)))
  and (%(since)s::timestamptz is null or at >= %(since)s)
  and (%(until)s::timestamptz is null or at < %(until)s)
order by seq desc
limit %(page)s
