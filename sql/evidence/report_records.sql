-- Records of these kinds, without the lists that have no end.
select seq, at, kind, subject, (entry::jsonb -> 'body') - '{objects,attempts,examples,problems}'::text[] as body
from evidence.ledger
where kind = any (%(kinds)s) and at >= %(since)s and at < %(cut)s
order by seq
