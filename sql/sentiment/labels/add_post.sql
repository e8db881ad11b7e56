insert into sentiment.posts (post_key, platform, native_id, text_sha256, posted_at, added_at)
values (%(post_key)s, %(platform)s, %(native_id)s, %(text_sha256)s, %(posted_at)s, %(now)s)
on conflict (post_key) do nothing
