-- Figures of a run; the frozen set first, then the recent posts, platforms, crises.
select role, set_name, kind, n, figures
from sentiment.evaluations
where run_id = %(run_id)s and (%(role)s::text is null or role = %(role)s)
order by array_position(array ['frozen', 'recent', 'platform', 'crisis'], kind), set_name, role
