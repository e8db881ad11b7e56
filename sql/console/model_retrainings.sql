select run_id, started_at, started_by, state, champion, challenger, missing, decided_by, ended_at
from sentiment.retrainings
order by started_at desc, run_id desc
limit %(page)s offset %(skip)s
