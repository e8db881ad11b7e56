insert into evidence.findings (key, kind, severity, source, region, subject, said_zh, said_en, detail, opened_at,
                               last_seen_at, opened_seq)
values (%(key)s, %(kind)s, %(severity)s, %(source)s, %(region)s, %(subject)s, %(said_zh)s, %(said_en)s, %(detail)s,
        %(now)s, %(now)s, %(seq)s)
returning *
