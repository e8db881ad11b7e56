insert into evidence.ledger (seq, at, kind, subject, entry, hash)
values (%(seq)s, %(at)s, %(kind)s, %(subject)s, %(entry)s, %(hash)s)
