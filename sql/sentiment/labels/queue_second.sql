-- Texts of the sample that one person has labelled and this one has not; in the sample's own order.
with sampled as (
    select text_sha256, annotator,
           encode(sha256(convert_to(%(seed)s || ':' || text_sha256, 'UTF8')), 'hex') collate "C" as place
    from sentiment.votes
    where source <> 'seed' and label <> 'contradictory'
)
select text_sha256, 'second' as asked_for
from sampled
where substr(place, 1, 8) < %(threshold)s
group by text_sha256, place
having count(*) = 1 and min(annotator) <> %(annotator)s
order by place
limit %(n)s
