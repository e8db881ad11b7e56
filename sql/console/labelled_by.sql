-- How many labels a person has given on the page, since a moment and in all.
select count(*) filter (where recorded_at >= %(since)s) as today, count(*) as ever
from sentiment.labels
where annotator = %(annotator)s and source = 'console'
