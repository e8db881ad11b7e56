-- What a person said last of the text of a post.
select v.label
from sentiment.posts p
join sentiment.votes v using (text_sha256)
where p.post_key = %(post_key)s and v.annotator = %(annotator)s
