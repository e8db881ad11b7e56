-- What the rows of one file say against each other.
with judged as (
    select number,
           min(text_sha256) over one_post <> max(text_sha256) over one_post as two_texts,
           min(label) over one_word <> max(label) over one_word as contradictory,
           row_number() over (partition by post_key, annotator, label, labelled_at order by number) > 1 as repeated
    from pg_temp.staged_labels
    window one_post as (partition by post_key), one_word as (partition by post_key, annotator, labelled_at)
)
update pg_temp.staged_labels s
set outcome = case when j.two_texts then 'two_texts' when j.contradictory then 'contradictory' else 'repeated' end
from judged j
where s.number = j.number and (j.two_texts or j.contradictory or j.repeated)
