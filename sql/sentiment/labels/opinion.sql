-- What others and the model say of the text of a post.
select coalesce((
           select jsonb_agg(jsonb_build_array(v.annotator, v.label) order by v.annotator)
           from sentiment.votes v
           where v.text_sha256 = p.text_sha256), '[]') as labels,
       s.model_sha256, s.p_negative, s.p_neutral, s.p_positive
from sentiment.posts p
left join lateral (
    select scores.*
    from sentiment.scores
    join sentiment.posts same using (post_id)
    where same.text_sha256 = p.text_sha256
    order by scores.scored_at desc, scores.post_id
    limit 1
) s on true
where p.post_key = %(post_key)s
