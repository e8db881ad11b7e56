-- Every labelled text once, with where and when it was posted first as far as is known.
select text_sha256, t.text, p.platform, p.posted_at
from (
    select text_sha256, min(platform) as platform, min(posted_at) as posted_at
    from sentiment.posts
    where post_id in (
        select post_id from sentiment.labels where %(up_to)s::bigint is null or label_id <= %(up_to)s)
    group by text_sha256
) p
join sentiment.texts t using (text_sha256)
