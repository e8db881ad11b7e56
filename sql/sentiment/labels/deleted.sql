select 1 from sentiment.deletions
where post_key = %(post_key)s or (%(platform)s::text is null and text_sha256 = %(text_sha256)s)
limit 1
