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

alter table vault.backups add column keep_until timestamptz;
comment on column vault.backups.keep_until is
    'Until when its generations need it, as far as is known: what is sent of it to a region later is locked so long';
create index backups_kept on vault.backups (source) where expired_at is null;

-- What is still to be done in each region for a backup whose time is over.
create table vault.expiries (
    backup_id        text not null references vault.backups on delete cascade,
    region           text not null,
    manifest_gone_at timestamptz,   -- nothing shows the backup there any more
    left_keys        text[],        -- relative keys of its objects that were there when it was last looked at
    done_at          timestamptz,   -- nothing of it is left there
    primary key (backup_id, region),
    constraint manifest_first check (done_at is null or manifest_gone_at is not null)
);
create index expiries_open on vault.expiries (region) where done_at is null;
comment on table vault.expiries is 'Removal of expired backups, region by region; what others need of them stays';

-- Object versions that a hold protects in a region, and by what.
create table vault.held_objects (
    region     text not null,
    object_key text not null,
    version_id text not null,   -- empty: the store has none
    means      text not null check (means in ('legal_hold', 'retention')),
    until      timestamptz,            -- of the longer lock
    since      timestamptz not null,
    seen_at    timestamptz,            -- when the store said so; null: it is about to be asked
    primary key (region, object_key, version_id)
);
comment on table vault.held_objects is 'What legal holds protect in each region: by the hold of the store, or by a longer lock';

alter table backup.removals add column cause text not null default 'orphan' check (cause in ('orphan', 'expired'));
