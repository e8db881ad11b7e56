insert into sentiment.shadow_scores (place, champion, text_sha256, champion_says, shadow_says)
select %(place)s, %(champion)s, t.text_sha256, t.champion_says, t.shadow_says
from unnest(%(texts)s::text[], %(champion_says)s::text[], %(shadow_says)s::text[])
     as t (text_sha256, champion_says, shadow_says)
on conflict do nothing
