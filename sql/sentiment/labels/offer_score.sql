insert into sentiment.scores (post_id, model_sha256, p_negative, p_neutral, p_positive, scored_at)
select post_id, %(model_sha256)s, %(p_negative)s, %(p_neutral)s, %(p_positive)s, %(now)s
from sentiment.posts
where post_key = %(post_key)s and text_sha256 = %(text_sha256)s
on conflict (post_id) do update
set model_sha256 = excluded.model_sha256, p_negative = excluded.p_negative, p_neutral = excluded.p_neutral,
    p_positive = excluded.p_positive, scored_at = excluded.scored_at
where scores.scored_at <= excluded.scored_at
