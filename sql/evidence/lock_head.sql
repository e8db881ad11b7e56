select seq, hash from evidence.lock_head()
