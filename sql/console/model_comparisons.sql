select set_name, n, only_champion, only_challenger, difference, low, high, p_value
from sentiment.comparisons
where run_id = %(run_id)s
