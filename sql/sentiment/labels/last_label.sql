select coalesce(max(label_id), 0) as last from sentiment.labels where recorded_at <= %(now)s
