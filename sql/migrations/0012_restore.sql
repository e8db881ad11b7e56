-- Restores: what was restored, how long each phase took, what differed, and who signed the report of a restore test.
create schema restore;

-- One row for each backup restored for real from one region. A rerun never hides what failed: it adds an attempt.
create table restore.tests (
    test_id     text primary key,              -- rt-<yyyymmddThhmmssZ>-<8 hex digits>
    dag_id      text not null,
    run_id      text not null,
    attempt     integer not null check (attempt >= 1),
    source      text not null,
    region      text not null,
    backup_id   text not null,
    choice      text not null check (choice in ('latest', 'older')),
    status      text not null check (status in ('running', 'passed', 'failed', 'error')),
    started_at  timestamptz not null,
    ended_at    timestamptz check (ended_at >= started_at),
    rto_seconds double precision check (rto_seconds >= 0),
    rpo_seconds double precision check (rpo_seconds >= 0),   -- age of the newest committed row at the snapshot's use
    rto_target  double precision,
    rpo_target  double precision,
    phases      jsonb not null default '{}',   -- fetch, decrypt, load, check: seconds each
    checks      jsonb not null default '[]',   -- [{name, ok, expected, found, where}] in the order they were made
    document    jsonb,                         -- the whole result, as it stands in the report
    error       text,
    constraint ended_or_running check ((status = 'running') = (ended_at is null)),
    constraint error_says_why check (status <> 'error' or error is not null),
    unique (run_id, source, region, choice, attempt)
);
comment on table restore.tests is 'One row for each restore test of one backup from one region';
create index tests_by_time on restore.tests (started_at desc);
create index tests_by_source on restore.tests (source, region, started_at desc);

-- The report of one run: canonical JSON; its hash is what a person signs.
create table restore.reports (
    run_id     text primary key,
    dag_id     text not null,
    made_at    timestamptz not null,
    started_by text,                           -- the person who triggered the run; null: the schedule
    passed     boolean not null,
    tests      integer not null check (tests >= 0),
    failed     integer not null check (failed between 0 and tests),
    document   text not null,                  -- RFC 8785 JSON; signed is its SHA-256
    sha256     text not null check (sha256 ~ '^[0-9a-f]{64}$')
);
comment on table restore.reports is 'The report of each run of test_restores';

create table restore.signoffs (
    run_id        text primary key references restore.reports,
    decision      text not null check (decision in ('signed', 'refused', 'unsigned')),   -- unsigned: time ran out
    signed_by     text,
    note          text not null default '',
    via           text not null check (via in ('airflow', 'console', 'cli', 'timeout')),
    report_sha256 text not null check (report_sha256 ~ '^[0-9a-f]{64}$'),
    signed_at     timestamptz not null,
    ledger_seq    bigint not null,
    constraint somebody_signs check ((decision = 'unsigned') = (signed_by is null))
);
comment on table restore.signoffs is 'What a person said to a report; an `unsigned` one may still be signed later';
