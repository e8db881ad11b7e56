-- What is worth a label most: texts on which people differ, then people and model, then where the model is unsure.
-- Texts that no person has labelled and no model has scored are in none of these; they can be the most by far.
with words as (
    select text_sha256,
           count(*) filter (where source <> 'seed') as people,
           count(*) filter (where annotator = %(annotator)s) as mine,
           min(label) filter (where label not in ('unclear', 'contradictory')) as least,
           max(label) filter (where label not in ('unclear', 'contradictory')) as most,
           bool_or(label = 'unclear' and source <> 'seed') as unclear
    from sentiment.votes
    where text_sha256 = any (array (
        select p.text_sha256 from sentiment.posts p join sentiment.scores s using (post_id)
        union
        select p.text_sha256 from sentiment.posts p join sentiment.labels l using (post_id) where l.source <> 'seed'))
    group by text_sha256
),
scored as (
    select distinct on (p.text_sha256) p.text_sha256, s.p_negative, s.p_neutral, s.p_positive
    from sentiment.scores s
    join sentiment.posts p using (post_id)
    order by p.text_sha256, s.scored_at desc, s.post_id
),
judged as (
    select text_sha256,
           coalesce(w.people, 0) as people,
           greatest(s.p_negative, s.p_neutral, s.p_positive) as sure,
           case
               when w.least <> w.most and w.people > 0 and w.people < %(most_annotators)s then 'conflict'
               when w.people = 1 and not w.unclear
                    and greatest(s.p_negative, s.p_neutral, s.p_positive) >= %(sure_from)s
                    and w.least <> case greatest(s.p_negative, s.p_neutral, s.p_positive)
                        when s.p_negative then 'negative' when s.p_positive then 'positive' else 'neutral' end
                   then 'model_differs'
               when s.text_sha256 is not null and coalesce(w.people, 0) = 0 then 'uncertain'
           end as asked_for
    from words w
    full join scored s using (text_sha256)
    where coalesce(w.mine, 0) = 0
)
select text_sha256, asked_for
from judged
where asked_for is not null
order by case asked_for when 'conflict' then 1 when 'model_differs' then 2 else 3 end,
         case asked_for when 'model_differs' then -sure else sure end,
         text_sha256
limit %(n)s
