-- The version that scores beside the champion.
select s.place, s.version, m.model_sha256, s.since, s.by, s.why, s.ledger_seq
from sentiment.shadows s join sentiment.models m using (version)
where s.until is null
