-- Posts on which the two differ; a post that was deleted since is gone from here too.
select d.place, t.text, d.truth, d.champion_says, d.challenger_says, d.champion_p, d.challenger_p
from sentiment.differences d
join sentiment.texts t using (text_sha256)
where d.run_id = %(run_id)s
order by d.place
limit 200
