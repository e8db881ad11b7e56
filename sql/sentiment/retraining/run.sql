select run_id, dag_id, started_at, started_by, state, digest, frozen_at, split, missing, champion, challenger, search,
       measured, gates, told, decided_by, note, via, ledger_seq, ended_at
from sentiment.retrainings
where run_id = %(run_id)s
