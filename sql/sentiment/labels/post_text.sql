select text_sha256 from sentiment.posts where post_key = %(post_key)s
