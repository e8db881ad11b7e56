-- What a person has answered for stays as it was.
insert into restore.reports (run_id, dag_id, made_at, started_by, passed, tests, failed, document, sha256)
values (%(run_id)s, %(dag_id)s, %(made_at)s, %(started_by)s, %(passed)s, %(tests)s, %(failed)s, %(document)s,
        %(sha256)s)
on conflict (run_id) do update
set made_at = excluded.made_at, passed = excluded.passed, tests = excluded.tests, failed = excluded.failed,
    document = excluded.document, sha256 = excluded.sha256
where not exists (select from restore.signoffs s
                  where s.run_id = excluded.run_id and s.decision <> 'unsigned')
returning run_id
