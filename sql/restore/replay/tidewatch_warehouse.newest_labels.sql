-- What each person says of the texts now: the newest label of each, counted.
select n.label, n.annotator, n.source, count(*) as texts
from (
    select distinct on (p.text_sha256, l.annotator) l.label, l.annotator, l.source
    from sentiment.labels l
    join sentiment.posts p on p.post_id = l.post_id
    order by p.text_sha256, l.annotator, l.labelled_at desc, l.label_id desc
) n
group by 1, 2, 3
