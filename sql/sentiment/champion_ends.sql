update sentiment.champions set until = greatest(since, %(now)s) where until is null
