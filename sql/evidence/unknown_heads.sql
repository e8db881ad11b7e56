-- Which of these heads are no record of this ledger, by position from 1.
select h.n::integer
from unnest(%(seqs)s::bigint[], %(hashes)s::text[]) with ordinality h (seq, hash, n)
where h.seq > 0
  and not exists (select from evidence.ledger l where l.seq = h.seq and l.hash = h.hash)
