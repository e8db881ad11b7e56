select number, outcome from pg_temp.staged_labels order by number
