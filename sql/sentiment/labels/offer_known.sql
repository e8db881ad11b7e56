-- Texts that are not asked about: a person has labelled them, or a post of that text was deleted.
select p.text_sha256
from sentiment.posts p
join sentiment.labels l using (post_id)
where p.text_sha256 = any (%(texts)s) and l.source <> 'seed'
union
select d.text_sha256
from sentiment.deletions d
where d.text_sha256 = any (%(texts)s)
