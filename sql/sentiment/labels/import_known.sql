select imported_at, report from sentiment.imports where origin = %(origin)s and mapping = %(mapping)s
