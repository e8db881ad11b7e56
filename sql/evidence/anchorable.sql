-- The last record that tells of something else than an anchor: what to anchor. Anchoring the record of an anchor would
-- never come to an end.
select seq, hash from evidence.ledger where kind <> 'ledger.anchored' order by seq desc limit 1
