select seq, at, kind, subject, entry, hash from evidence.ledger where seq = %(seq)s
