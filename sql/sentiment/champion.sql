select c.place, c.version, c.since, c.below, c.by, c.why, c.ledger_seq, m.model_sha256
from sentiment.champions c join sentiment.models m using (version)
where c.until is null
