-- What every annotator says now, of labels up to one.
-- The sample: texts that were given to a second person by lot, without the labels that were asked for because
-- people or the model differed. Which texts can be in it is looked up first: they are few, votes can be many.
with words as (
    select text_sha256, annotator, label, source, asked_for
    from sentiment.votes_up_to(%(up_to)s)
    where not %(sample_only)s
       or text_sha256 = any (array (
           select p.text_sha256 from sentiment.posts p join sentiment.labels l using (post_id) where l.asked_for = 'second'))
)
select text_sha256, annotator, label, source
from words
where not %(sample_only)s
   or (coalesce(asked_for, '') not in ('conflict', 'model_differs') and source <> 'seed'
       and text_sha256 in (select text_sha256 from words where asked_for = 'second'))
