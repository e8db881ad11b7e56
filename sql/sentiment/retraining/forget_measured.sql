with e as (delete from sentiment.evaluations where run_id = %(run_id)s),
     c as (delete from sentiment.comparisons where run_id = %(run_id)s)
delete from sentiment.differences where run_id = %(run_id)s
