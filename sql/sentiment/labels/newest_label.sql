select label_id, label, labelled_at
from sentiment.labels
where post_id = %(post_id)s and annotator = %(annotator)s
order by labelled_at desc, label_id desc
limit 1
