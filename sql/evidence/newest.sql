select entry, hash from evidence.ledger where kind = %(kind)s order by seq desc limit 1
