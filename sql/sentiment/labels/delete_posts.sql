delete from sentiment.posts where post_id = any (%(ids)s)
