-- Who was champion from when to when, the present one first.
select place, version, since, until, by, why, ledger_seq
from sentiment.champions
order by place desc
limit %(page)s offset %(skip)s
