-- Every champion, and whether the bytes of its model still have the digest that the ledger knows.
select c.place, c.version, m.model_sha256, m.dataset_sha256,
       encode(sha256(m.content), 'hex') = m.model_sha256 as whole
from sentiment.champions c
join sentiment.models m on m.version = c.version
