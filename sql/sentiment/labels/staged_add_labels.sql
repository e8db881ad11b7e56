insert into sentiment.labels (post_id, label, annotator, source, origin, blind, labelled_at, recorded_at)
select p.post_id, s.label, s.annotator, %(source)s, %(origin)s, false, coalesce(s.labelled_at, %(now)s), %(now)s
from pg_temp.staged_labels s
join sentiment.posts p using (post_key)
where s.outcome = 'accepted'
order by s.number
