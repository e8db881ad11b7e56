-- Every labelled text once, with where and when it was posted first as far as is known.
select t.text_sha256, t.text, p.platform, p.posted_at
from sentiment.texts t
join lateral (
    select min(posts.platform) as platform, min(posts.posted_at) as posted_at
    from sentiment.posts
    where posts.text_sha256 = t.text_sha256
      and exists (
          select from sentiment.labels l
          where l.post_id = posts.post_id and (%(up_to)s::bigint is null or l.label_id <= %(up_to)s))
    having count(*) > 0
) p on true
order by t.text_sha256
