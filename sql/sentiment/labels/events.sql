-- Labels as they were given, the newest first; texts only where somebody asks for them.
select l.label_id, l.labelled_at, l.label, l.annotator, l.source, l.origin, l.asked_for, l.blind, l.recorded_at,
       p.platform, p.native_id, p.posted_at, p.post_key, p.text_sha256,
       case when %(texts)s then t.text end as text
from sentiment.labels l
join sentiment.posts p using (post_id)
join sentiment.texts t using (text_sha256)
where (%(label)s::text is null or l.label = %(label)s)
  and (%(annotator)s::text is null or l.annotator = %(annotator)s)
  and (%(source)s::text is null or l.source = %(source)s)
  and (%(platform)s::text is null or p.platform = %(platform)s)
  and (%(native_id)s::text is null or p.native_id = %(native_id)s)
order by l.label_id desc
limit %(n)s
