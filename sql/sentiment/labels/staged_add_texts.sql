insert into sentiment.texts (text_sha256, text)
select distinct on (text_sha256) text_sha256, text
from pg_temp.staged_labels
where outcome = 'accepted'
order by text_sha256
on conflict (text_sha256) do nothing
