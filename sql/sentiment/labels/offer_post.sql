insert into sentiment.posts (post_key, platform, native_id, text_sha256, posted_at, added_at)
select %(post_key)s, %(platform)s, %(native_id)s, text_sha256, %(posted_at)s, %(now)s
from sentiment.texts
where text_sha256 = %(text_sha256)s
  and not exists (
      select from sentiment.deletions d
      where d.post_key = %(post_key)s or (%(platform)s::text is null and d.text_sha256 = %(text_sha256)s))
on conflict (post_key) do nothing
