insert into sentiment.comparisons (run_id, set_name, n, only_champion, only_challenger, difference, low, high, p_value)
values (%(run_id)s, %(set_name)s, %(n)s, %(only_champion)s, %(only_challenger)s, %(difference)s, %(low)s, %(high)s,
        %(p_value)s)
