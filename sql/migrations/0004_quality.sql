-- Gates: what was judged, by which version of which gate, and with what outcome.
create schema quality;

create table quality.judgements (
    gate        text not null,
    run_id      text not null,
    subject     text not null,
    gate_sha256 text not null check (gate_sha256 ~ '^[0-9a-f]{64}$'),
    dag_id      text not null,
    judged_at   timestamptz not null,
    passed      boolean not null,
    staged      bigint not null check (staged >= 0),
    published   bigint not null check (published >= 0),
    quarantined bigint not null check (quarantined >= 0),
    params      jsonb not null,
    docs        text,
    primary key (gate, run_id, subject),
    check (staged = published + quarantined)
);
comment on table quality.judgements is 'One row per gate, run and subject; judging again replaces it.';
comment on column quality.judgements.published is 'Rows that may be published; they were only if passed.';
create index judgements_by_time on quality.judgements (gate, judged_at desc);
create index judgements_by_subject on quality.judgements (subject);

create table quality.results (
    gate             text not null,
    run_id           text not null,
    subject          text not null,
    batch            text not null,
    position         integer not null,
    expectation      text not null,
    columns          text[] not null,
    severity         text not null check (severity in ('critical', 'warning')),
    success          boolean not null,
    evaluated        boolean not null,
    expected         text not null,
    observed         text not null,
    unexpected_count bigint,
    element_count    bigint,
    rows             text[] not null,
    note_zh          text not null,
    note_en          text not null,
    primary key (gate, run_id, subject, batch, position),
    foreign key (gate, run_id, subject) references quality.judgements on delete cascade,
    check (evaluated or not success)
);
comment on table quality.results is 'One row per expectation of a judgement, in the order of the gate.';
comment on column quality.results.rows is 'Keys of the first bad rows; all of them are in quality.quarantine.';

create table quality.quarantine (
    gate     text not null,
    run_id   text not null,
    subject  text not null,
    batch    text not null,
    position bigint not null,
    row_key  jsonb not null,
    row      jsonb not null,
    reason   text not null,
    primary key (gate, run_id, subject, batch, position),
    foreign key (gate, run_id, subject) references quality.judgements on delete cascade
);
comment on table quality.quarantine is 'Rows that a gate refused, once each, with every reason. May hold personal data.';
