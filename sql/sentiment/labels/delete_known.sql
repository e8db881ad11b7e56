-- How many of those that are meant were deleted before.
select count(*) as before from sentiment.deletions
where post_key = any (%(keys)s) or text_sha256 = any (%(texts)s)
