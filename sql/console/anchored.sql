-- The newest records of anchoring: a region that was down for a while has its last anchor in an older one.
select seq, at, entry from evidence.ledger where kind = 'ledger.anchored' order by seq desc limit 100
