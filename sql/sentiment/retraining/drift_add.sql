insert into sentiment.drifts (run_id, feature, statistic, critical, n_before, n_recent, drifted)
values (%(run_id)s, %(feature)s, %(statistic)s, %(critical)s, %(n_before)s, %(n_recent)s, %(drifted)s)
