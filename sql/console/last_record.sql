select seq, at, hash from evidence.ledger order by seq desc limit 1
