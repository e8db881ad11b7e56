-- A post that a person has labelled, with what he said of it.
select p.post_key, t.text, p.platform, p.posted_at, v.label
from sentiment.posts p
join sentiment.texts t using (text_sha256)
join sentiment.votes v using (text_sha256)
where p.post_key = %(post_key)s and v.annotator = %(annotator)s
