-- An `unsigned` report may still be signed.
insert into restore.signoffs (run_id, decision, signed_by, note, via, report_sha256, signed_at, ledger_seq)
values (%(run_id)s, %(decision)s, %(signed_by)s, %(note)s, %(via)s, %(report_sha256)s, %(signed_at)s, %(ledger_seq)s)
on conflict (run_id) do update
set decision = excluded.decision, signed_by = excluded.signed_by, note = excluded.note, via = excluded.via,
    report_sha256 = excluded.report_sha256, signed_at = excluded.signed_at, ledger_seq = excluded.ledger_seq
where restore.signoffs.decision = 'unsigned'
