-- What is about to be removed from a region, written before the first of it goes: a sweep that is killed leaves no
-- removal without its record in the ledger.
create table backup.removals (
    region     text not null,
    object_key text not null,
    version_id text not null,   -- of the object version or delete marker, or of the unfinished upload
    kind       text not null check (kind in ('version', 'upload')),
    bytes      bigint not null check (bytes >= 0),
    backup_id  text,            -- null: a probe's
    planned_at timestamptz not null,
    primary key (region, object_key, version_id)
);
comment on table backup.removals is 'Removals between their plan and their record in the ledger';
