-- One page, in order; a parameter that is null does not filter.
select seq, entry, hash
from evidence.ledger
where seq >= %(since_seq)s
  and (%(kind)s::text is null or kind = %(kind)s)
  and (%(subject)s::text is null or subject = %(subject)s)
order by seq
limit %(page)s
