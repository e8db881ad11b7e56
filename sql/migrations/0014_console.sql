-- The console: who may sign in where Airflow's login does not stand in front, and what was asked of it.
create schema console;

create table console.users (
    name       text primary key check (length(name) between 1 and 64),
    roles      text[] not null check (
        cardinality(roles) >= 1 and roles <@ '{auditor,compliance,engineer,analyst}'::text[]),
    password   text not null check (password like 'scrypt$%'),   -- scrypt$n$r$p$salt$hash, base64
    created_at timestamptz not null,
    changed_at timestamptz not null
);
comment on table console.users is 'People who sign in to the console by itself; passwords are hashed';

create table console.sessions (
    token_sha256 text primary key check (token_sha256 ~ '^[0-9a-f]{64}$'),   -- the browser alone has the token
    name         text not null references console.users on delete cascade,
    begun_at     timestamptz not null,
    seen_at      timestamptz not null check (seen_at >= begun_at)
);
create index sessions_by_name on console.sessions (name);
comment on table console.sessions is 'Who is signed in; a row that is gone is a session that is over';

-- What is counted is a digest of a name, an address or both: people type passwords into the field for names.
create table console.failures (
    what_sha256 text not null check (what_sha256 ~ '^[0-9a-f]{64}$'),
    at          timestamptz not null
);
create index failures_by_what on console.failures (what_sha256, at);
create index failures_by_time on console.failures (at);
comment on table console.failures is 'Wrong passwords of the last hour, for the limits on guessing';

-- "Verify now": every region is asked again for one backup.
create table console.checks (
    check_id  bigint generated always as identity primary key,
    backup_id text not null references vault.backups on delete cascade,
    mode      text not null check (mode in ('checksum', 'full')),
    asked_by  text not null,
    asked_at  timestamptz not null,
    state     text not null default 'running' check (state in ('running', 'done', 'interrupted')),
    ok        boolean,
    report    jsonb,          -- [{region, ok, objects, problem}]
    ended_at  timestamptz check (ended_at >= asked_at),
    constraint done_says_what check ((state = 'done') = (ok is not null and report is not null)),
    constraint running_has_no_end check ((state = 'running') = (ended_at is null))
);
create index checks_by_backup on console.checks (backup_id, check_id desc);
create unique index checks_one_at_a_time on console.checks (backup_id) where state = 'running';
comment on table console.checks is 'Backups that a person had verified again, and what the regions showed';

-- What the pages of three years of history ask for.
create index judgements_newest on quality.judgements (judged_at desc);
create index backups_newest on vault.backups (started_at desc, backup_id desc);

revoke all on schema console from public;
revoke all on all tables in schema console from public;
