-- The posts that are meant: one of a platform, or all of a text. A text without an identity cannot be told from
-- a post of that text, and goes with it.
with meant as (
    select p.post_key, p.text_sha256
    from sentiment.posts p
    where p.post_key = any (%(keys)s) or p.text_sha256 = any (%(texts)s)
)
select p.post_id, p.post_key, p.text_sha256,
       (select count(*) from sentiment.labels l where l.post_id = p.post_id) as labels
from sentiment.posts p
where p.post_key in (select post_key from meant)
   or (p.platform is null and p.text_sha256 in (select text_sha256 from meant))
order by p.post_key
