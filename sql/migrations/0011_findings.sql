-- Findings: what is not as it must be, from the moment it is found until something shows that it is gone. A
-- projection of the records finding.opened and finding.closed of the ledger, so that it can be searched.
create table evidence.findings (
    finding_id   bigint generated always as identity primary key,
    key          text not null check (length(key) between 1 and 400),   -- what it is about: one open finding a key
    kind         text not null check (kind ~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)+$'),
    severity     text not null check (severity in ('warning', 'critical')),
    source       text,
    region       text,
    subject      text not null,   -- a backup, a test, a region: what the pages link to
    said_zh      text not null,
    said_en      text not null,
    detail       jsonb not null,
    opened_at    timestamptz not null,
    last_seen_at timestamptz not null check (last_seen_at >= opened_at),
    times_seen   bigint not null default 1 check (times_seen >= 1),
    opened_seq   bigint not null,          -- of the record in the ledger
    closed_at    timestamptz check (closed_at >= opened_at),
    closed_by    text,                     -- what shows that it is gone, or the person who says so
    closed_why   text,
    closed_seq   bigint,
    constraint closed_is_explained check (
        (closed_at is null) = (closed_by is null) and (closed_at is null) = (closed_why is null)
        and (closed_at is null) = (closed_seq is null))
);
create unique index findings_one_open on evidence.findings (key) where closed_at is null;
create index findings_by_time on evidence.findings (opened_at desc);
comment on table evidence.findings is 'What is not as it must be: opened and closed by records of the ledger';
