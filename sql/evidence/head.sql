select seq, hash from evidence.head
