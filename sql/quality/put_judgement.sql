insert into quality.judgements
    (gate, run_id, subject, gate_sha256, dag_id, judged_at, passed, staged, published, quarantined, params, docs)
values
    (%(gate)s, %(run_id)s, %(subject)s, %(gate_sha256)s, %(dag_id)s, %(judged_at)s, %(passed)s, %(staged)s,
     %(published)s, %(quarantined)s, %(params)s, %(docs)s)
on conflict (gate, run_id, subject) do update set
    gate_sha256 = excluded.gate_sha256,
    dag_id = excluded.dag_id,
    judged_at = excluded.judged_at,
    passed = excluded.passed,
    staged = excluded.staged,
    published = excluded.published,
    quarantined = excluded.quarantined,
    params = excluded.params,
    docs = excluded.docs
