-- Every text that was ever held out, by which run, and whether a challenger came of that run.
select h.text_sha256, h.run_id, r.run_id is null or r.challenger is not null as came_to_a_challenger
from sentiment.held_out h
left join sentiment.retrainings r using (run_id)
