-- A post that nobody else labels or deletes until the transaction ends.
select post_id from sentiment.posts where post_key = %(post_key)s for no key update
