select gate, gate_sha256, count(*) as judged, count(*) filter (where passed) as passed,
       count(*) filter (where not passed) as refused, sum(staged) as staged, sum(published) as published,
       sum(quarantined) as quarantined, min(judged_at) as first_at, max(judged_at) as last_at
from quality.judgements
where judged_at >= %(since)s and judged_at < %(cut)s
group by gate, gate_sha256
order by gate, min(judged_at), gate_sha256
