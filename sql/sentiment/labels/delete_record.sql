insert into sentiment.deletions (post_key, text_sha256, labels, deleted_at)
select post_key, text_sha256, labels, %(now)s
from unnest(%(keys)s::text[], %(texts)s::text[], %(labels)s::bigint[]) as gone (post_key, text_sha256, labels)
on conflict (post_key) do nothing
