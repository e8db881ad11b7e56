select r.run_id, r.dag_id, r.started_at, r.started_by, r.state, r.digest, v.rows, r.split, r.missing, r.champion,
       r.challenger, r.search, r.measured, r.told, r.decided_by, r.note, r.via, r.ledger_seq, r.ended_at
from sentiment.retrainings r
left join sentiment.data_versions v using (digest)
where r.run_id = %(run_id)s
