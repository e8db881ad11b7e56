-- What every annotator says now, of labels up to one; in an order that does not depend on when they came.
select text_sha256, annotator, label, source
from sentiment.votes_up_to(%(up_to)s)
where (not %(blind_only)s or blind)
order by text_sha256, annotator
