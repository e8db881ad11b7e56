-- Texts whose labels a challenger of an earlier run had before it: all it could be trained on.
select distinct p.text_sha256
from sentiment.labels l
join sentiment.posts p using (post_id)
where l.label_id <= (
    select max(d.up_to)
    from sentiment.retrainings r
    join sentiment.data_versions d using (digest)
    where r.challenger is not null and r.run_id <> %(run_id)s)
