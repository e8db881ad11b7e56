insert into sentiment.imports (origin, mapping, imported_at, imported_by, report)
values (%(origin)s, %(mapping)s, %(now)s, %(by)s, %(report)s)
