insert into sentiment.posts (post_key, platform, native_id, text_sha256, posted_at, added_at)
select post_key, min(platform), min(native_id), min(text_sha256), min(posted_at), %(now)s
from pg_temp.staged_labels
where outcome = 'accepted'
group by post_key
order by post_key
on conflict (post_key) do nothing
