select kind, count(*) as records
from evidence.ledger
where at >= %(since)s and at < %(cut)s
group by kind
order by kind
