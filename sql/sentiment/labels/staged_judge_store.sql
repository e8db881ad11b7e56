-- What the store says of each row. A text without an identity cannot be told from a deleted post of that text.
-- Joins, not a question for each row: a file may have a million.
with mine as materialized (
    select s.number, s.annotator, s.label, s.labelled_at, p.post_id, p.text_sha256 <> s.text_sha256 as differs
    from pg_temp.staged_labels s
    join sentiment.posts p using (post_key)
    where s.outcome = 'accepted'
),
words as materialized (
    select l.post_id, l.annotator, l.label, l.labelled_at, l.origin,
           row_number() over (
               partition by l.post_id, l.annotator order by l.labelled_at desc, l.label_id desc) = 1 as newest
    from sentiment.labels l
    where l.post_id in (select post_id from mine)
),
known as materialized (
    select m.number
    from mine m
    join words w using (post_id, annotator, label)
    where case
            when m.labelled_at is not null then w.labelled_at = m.labelled_at
            else w.origin = %(origin)s or w.newest
        end
),
judged as (
    select s.number,
           case
               when s.post_key in (select post_key from sentiment.deletions) then 'deleted'
               when s.platform is null
                    and s.text_sha256 in (select text_sha256 from sentiment.deletions) then 'deleted'
               when s.number in (select number from mine where differs) then 'text_differs'
               when s.number in (select number from known) then 'known'
           end as outcome
    from pg_temp.staged_labels s
    where s.outcome = 'accepted'
)
update pg_temp.staged_labels s
set outcome = j.outcome
from judged j
where s.number = j.number and j.outcome is not null
