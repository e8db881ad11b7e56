select seq, hash from evidence.ledger where seq = any (%(seqs)s)
