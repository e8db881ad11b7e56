-- Everything, or from a record on, in order, and the head of the same snapshot. The time is text: a tampered one need
-- not be a time that the client can represent.
select seq, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, kind, subject, entry, hash,
       (select seq from evidence.head) as head_seq,
       (select hash from evidence.head) as head_hash
from evidence.ledger
where %(since_seq)s::bigint is null or seq >= %(since_seq)s or seq is null
order by seq
