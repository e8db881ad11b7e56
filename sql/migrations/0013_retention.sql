-- Legal holds: what must not be removed until somebody lifts the hold, whatever the retention says.
create table vault.holds (
    hold_id     text primary key,              -- hold-<yyyymmddThhmmssZ>-<8 hex digits>
    source      text not null,
    backup_id   text,                          -- null: every backup of the source within the span
    span_from   timestamptz,                   -- snapshots from here on; null: from the first
    span_until  timestamptz check (span_until > span_from),
    holder      text not null check (length(holder) between 1 and 200),
    reason      text not null check (length(reason) between 1 and 2000),
    placed_at   timestamptz not null,
    placed_by   text not null,
    lifted_at   timestamptz check (lifted_at >= placed_at),
    lifted_by   text,
    lift_reason text,
    constraint one_or_all check (backup_id is null or (span_from is null and span_until is null)),
    constraint lifted_is_explained check (
        (lifted_at is null) = (lifted_by is null) and (lifted_at is null) = (lift_reason is null))
);
comment on table vault.holds is 'Legal holds on backups: holder, reason, dates';
create index holds_in_force on vault.holds (source) where lifted_at is null;

-- A backup whose time is over: its manifest and the objects that no other backup needs are gone from the regions,
-- its row stays.
alter table vault.backups add column expired_at timestamptz;
alter table vault.backups add column generations text[] not null default '{daily}';
comment on column vault.backups.generations is 'daily, weekly, monthly, yearly: what it was kept as when it was made';
comment on column vault.backups.expired_at is 'When its removal from the regions began; null: it is kept';
