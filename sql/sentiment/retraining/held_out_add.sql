insert into sentiment.held_out (text_sha256, run_id, since)
select text_sha256, %(run_id)s, %(now)s
from unnest(%(texts)s::text[]) as drawn (text_sha256)
on conflict (text_sha256) do nothing
