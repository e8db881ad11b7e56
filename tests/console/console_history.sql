-- Years of history for the pages of the console: see console_history.py.
insert into vault.backups (backup_id, source, source_type, data_class, dag_id, run_id, try_number, status, started_at,
                           snapshot_at, ended_at, document, manifest_sha256, error)
select id, source, case source when 'media' then 'files' else 'postgres' end, 'internal', 'back_up_sources',
       'scheduled__' || to_char(at, 'YYYY-MM-DD'), 1, 'staging', at, null, null, null, null, null
from (
    select s.source, d.at, s.source || '-' || to_char(d.at at time zone 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') || '-'
           || substr(md5(s.source || d.at), 1, 8) as id
    from unnest(%(sources)s::text[]) with ordinality as s (source, n),
         generate_series(%(now)s::timestamptz - make_interval(days => %(days)s), %(now)s, interval '1 day') as g (day),
         lateral (select g.day - interval '1 hour' * s.n as at) as d
) as made
;
with made as (
    select b.backup_id, b.source, b.started_at,
           1000 + extract(epoch from b.started_at)::bigint / 86400 %% 977 as rows,
           date_part('day', %(now)s::timestamptz - b.started_at)::int as age, md5(b.backup_id) as dice
    from vault.backups b
)
update vault.backups b
set status = 'staged', document = jsonb_build_object(
    'backup_id', m.backup_id,
    'totals', jsonb_build_object('objects', 3, 'plain_size', m.rows * 90000, 'cipher_size', m.rows * 21000,
                                 'new_cipher_size', m.rows * 21000)
              || case m.source when 'media' then jsonb_build_object('files', m.rows)
                 else jsonb_build_object('rows', m.rows * 40, 'tables', 24) end,
    'policy', jsonb_build_object('id', 'TW-RESIDENCY', 'version', '2026-11'),
    'gate', jsonb_build_object('passed', left(m.dice, 2) <> 'ff', 'gate', 'backup',
        'failures', case when left(m.dice, 2) = 'ff' then '["ops.posts: 214 rows are 41 %% of the usual 522"]'::jsonb
                    else '[]'::jsonb end, 'warnings', '[]'::jsonb),
    'encryption', jsonb_build_object('key_ids', jsonb_build_array('0f1e2d3c4b5a6978')),
    'notes', '[]'::jsonb, 'timings', '{}'::jsonb, 'tools', '{}'::jsonb,
    'objects', (select jsonb_agg(jsonb_build_object('name', 'dump-' || lpad(n::text, 4, '0') || '.zst.age', 'role',
        'dump', 'backup_id', m.backup_id, 'plain_size', m.rows * 30000, 'cipher_size', m.rows * 7000,
        'cipher_sha256', encode(sha256((m.backup_id || n)::bytea), 'hex'))) from generate_series(1, 3) as n),
    'database', case m.source when 'media' then null else jsonb_build_object(
        'server_version', '18.6', 'schema_sha256', encode(sha256('schema'), 'hex'),
        'content_sha256', encode(sha256(m.backup_id::bytea), 'hex'),
        'tables', (select jsonb_agg(jsonb_build_object('schema_name', 'ops', 'name', 'table_' || n, 'kind', 'table',
            'rows', m.rows * n, 'sha256', encode(sha256((m.backup_id || n)::bytea), 'hex')))
            from generate_series(1, 24) as n)) end)
from made m where m.backup_id = b.backup_id
;
update vault.backups b
set manifest_sha256 = encode(sha256(b.backup_id::bytea), 'hex'), snapshot_at = b.started_at + interval '5 seconds',
    ended_at = b.started_at + interval '4 minutes',
    error = case when left(md5(b.backup_id), 2) in ('fe', 'fd') then 'verified in no region' end,
    status = case when left(md5(b.backup_id), 2) = 'ff' then 'suspect'
                  when left(md5(b.backup_id), 2) in ('fe', 'fd') then 'failed'
                  when left(md5(b.backup_id), 2) in ('f0', 'f1', 'f2', 'f3', 'f4') then 'degraded'
                  else 'sealed' end
;
delete from vault.backups where left(md5(backup_id), 2) in ('aa', 'ab')
;
insert into vault.copies (backup_id, region, object_key, state, version_id, sha256, size, lock_mode, retain_until,
                          read_back_at, error)
select b.backup_id, r.region, 'tidewatch/' || b.source || '/' || b.backup_id || '/' || o.name,
       case when bad then 'failed' else 'verified' end, md5(b.backup_id || o.name),
       encode(sha256((b.backup_id || o.name)::bytea), 'hex'), 700000, 'COMPLIANCE', b.started_at + interval '35 days',
       b.ended_at, case when bad then 'RegionUnavailable: no answer within 60 s' end
from vault.backups b
cross join unnest(%(regions)s::text[]) with ordinality as r (region, n)
cross join (values ('dump-0001.zst.age'), ('dump-0002.zst.age'), ('dump-0003.zst.age'), ('manifest.json')) as o (name)
cross join lateral (select b.status = 'degraded' and r.n = 1 + (ascii(right(b.backup_id, 1)) %% 3) as bad) as x
where b.status <> 'failed'
;
insert into evidence.ledger (seq, at, kind, subject, entry, hash)
select n, at, kind, subject, '{"at":"x","body":{"n":' || n || '},"kind":"' || kind || '","prev":"","seq":' || n
       || ',"subject":"' || subject || '"}', encode(sha256(('record' || n)::bytea), 'hex')
from (
    select g.n, %(now)s::timestamptz - make_interval(secs => (%(records)s - g.n) * (%(days)s * 86400.0 / %(records)s)) as at,
           (array['backup.started', 'backup.staged', 'copy.verified', 'copy.verified', 'copy.verified', 'gate.judged',
                  'backup.committed', 'region.probed'])[1 + g.n %% 8] as kind,
           ids.id as subject
    from generate_series(1, %(records)s) as g (n)
    join (select row_number() over (order by started_at, backup_id) - 1 as i, backup_id as id, count(*) over () as all
          from vault.backups) as ids on ids.i = g.n * (ids.all - 1) / %(records)s
) as made
;
update evidence.head h set seq = l.seq, hash = l.hash from evidence.ledger l where l.seq = %(records)s
;
insert into restore.tests (test_id, dag_id, run_id, attempt, source, region, backup_id, choice, status, started_at,
                           ended_at, rto_seconds, rpo_seconds, rto_target, rpo_target, phases, checks, error)
select 'rt-' || to_char(at at time zone 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') || '-' || substr(dice, 1, 8), 'test_restores',
       'scheduled__' || to_char(month, 'YYYY-MM-DD') || 'T03:00:00+08:00', 1, source, region, backup_id, choice,
       case when missed then 'failed' else 'passed' end, at, at + make_interval(secs => took), took,
       3600 * (20 + ascii(right(dice, 1)) %% 9), 1800, 93600,
       jsonb_build_object('fetch', took * .3, 'decrypt', took * .15, 'load', took * .4, 'check', took * .15),
       jsonb_build_array(
           jsonb_build_object('name', 'schema digest', 'ok', true, 'expected', 'b1f2', 'found', 'b1f2'),
           jsonb_build_object('name', 'table ops.posts', 'ok', not missed, 'expected', '52,114 rows, SHA-256 77c0…',
                              'found', case when missed then '52,113 rows, SHA-256 9b1d…' else '52,114 rows' end,
                              'where', 'ops.posts in ' || backup_id)), null
from (
    select m.month, s.source, r.region, c.choice, b.backup_id, md5(m.month || s.source || r.region || c.choice) as dice,
           m.month + make_interval(mins => (r.n * 20 + s.n * 3 + c.n)::int) as at,
           left(md5(m.month || s.source || r.region || c.choice), 1) = '0' and c.choice = 'older' as missed,
           400 + s.n * 260 + ascii(md5(m.month || s.source || r.region)) * 3 as took
    from generate_series(date_trunc('month', %(now)s::timestamptz - make_interval(days => %(days)s)) + interval '1 month',
                         %(now)s, interval '1 month') as m (month),
         unnest(%(sources)s::text[]) with ordinality as s (source, n),
         unnest(%(regions)s::text[]) with ordinality as r (region, n),
         (values ('latest', 1), ('older', 2)) as c (choice, n),
         lateral (select backup_id from vault.backups x where x.source = s.source and x.started_at < m.month
                  order by x.started_at desc limit 1) as b
) as made
;
insert into restore.reports (run_id, dag_id, made_at, started_by, passed, tests, failed, document, sha256)
select run_id, 'test_restores', max(ended_at) + interval '1 minute', null, bool_and(status = 'passed'), count(*),
       count(*) filter (where status <> 'passed'), '{"run_id":"' || run_id || '"}',
       encode(sha256(('{"run_id":"' || run_id || '"}')::bytea), 'hex')
from restore.tests group by run_id
;
insert into restore.signoffs (run_id, decision, signed_by, note, via, report_sha256, signed_at, ledger_seq)
select run_id, 'signed', 'li.wei', '', 'console', sha256, made_at + interval '2 days', 1
from restore.reports
where made_at < %(now)s::timestamptz - interval '25 days'
;
insert into evidence.findings (key, kind, severity, source, region, subject, said_zh, said_en, detail, opened_at,
                               last_seen_at, times_seen, opened_seq, closed_at, closed_by, closed_why, closed_seq)
select 'restore:' || test_id, 'restore.failed', 'critical', source, region, test_id,
       source || ' 从 ' || region || ' 恢复的内容与备份不一致：表 ops.posts 少 1 行',
       'What was restored of ' || source || ' from ' || region || ' differs from what was backed up: ops.posts lacks 1 row',
       jsonb_build_object('table', 'ops.posts', 'expected_rows', 52114, 'found_rows', 52113), started_at, started_at, 1, 1,
       case when old then started_at + interval '9 days' end, case when old then 'rt-later' end,
       case when old then 'a later test passed' end, case when old then 1 end
from restore.tests, lateral (select started_at < %(now)s::timestamptz - interval '150 days' as old) as x
where status = 'failed'
;
insert into vault.holds (hold_id, source, backup_id, span_from, span_until, holder, reason, placed_at, placed_by, lifted_at,
                         lifted_by, lift_reason)
select 'hold-20260' || n || '01T000000Z-0000000' || n, 'ops', null, %(now)s::timestamptz - make_interval(days => 60 * n::int),
       %(now)s::timestamptz - make_interval(days => 60 * n::int - 50), '法务部 王敏', '劳动仲裁 2026-' || n || '，保留相关期间的运营数据',
       %(now)s::timestamptz - make_interval(days => 40 * n::int), 'wang.min',
       case when n > 2 then %(now)s::timestamptz - interval '3 days' end, case when n > 2 then 'wang.min' end,
       case when n > 2 then '案件已结' end
from generate_series(1, 4) as n
;
insert into quality.judgements (gate, run_id, subject, gate_sha256, dag_id, judged_at, passed, staged, published,
                                quarantined, params, docs)
select 'backup', run_id, backup_id, encode(sha256('gate'), 'hex'), dag_id, ended_at, status <> 'suspect', 24,
       case status when 'suspect' then 23 else 24 end, case status when 'suspect' then 1 else 0 end, '{}', null
from vault.backups where ended_at is not null
;
insert into quality.results (gate, run_id, subject, batch, position, expectation, columns, severity, success, evaluated,
                             expected, observed, unexpected_count, element_count, rows, note_zh, note_en)
select gate, run_id, subject, 'tables', n, 'expect_column_values_to_be_between', '{row_ratio}', 'critical',
       passed or n > 1, true, 'greater than or equal to 0.8', case when passed or n > 1 then '0 of 24 rows' else '1 of 24 rows' end,
       0, 24, '{}', '行数比平时少太多', 'far fewer rows than usual'
from quality.judgements, generate_series(1, 8) as n
;
insert into quality.quarantine (gate, run_id, subject, batch, position, row_key, row, reason)
select gate, run_id, subject, 'tables', 1, '{"table": "ops.posts"}',
       '{"table": "ops.posts", "contact": "陈小姐 13800000000"}', 'row_ratio: 0.41 is below 0.8'
from quality.judgements where not passed
;
