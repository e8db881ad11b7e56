-- One post for each text: the one that came first.
select distinct on (p.text_sha256) p.text_sha256, t.text, p.post_key, p.platform, p.native_id, p.posted_at
from sentiment.posts p
join sentiment.texts t using (text_sha256)
where p.text_sha256 = any (%(texts)s)
order by p.text_sha256, p.post_id
