-- The catalogue of backups: a cache of the manifests that lie in the regions, plus what is under way.
create schema vault;

create table vault.backups (
    backup_id       text primary key,
    source          text not null,
    source_type     text not null check (source_type in ('postgres', 'files')),
    data_class      text not null,
    dag_id          text not null,
    run_id          text not null,
    try_number      integer not null check (try_number >= 0),
    status          text not null,
    started_at      timestamptz not null,
    snapshot_at     timestamptz,
    ended_at        timestamptz check (ended_at >= started_at),
    document        jsonb,   -- the manifest; a draft of it while staged
    manifest_sha256 text check (manifest_sha256 ~ '^[0-9a-f]{64}$'),   -- of manifest.json as it is stored
    error           text,
    decided_at      timestamptz,
    decided_by      text,
    decision_reason text,

    constraint backup_status check (status in (
        'staging', 'staged', 'sealed', 'degraded', 'failed', 'suspect', 'abandoned', 'accepted', 'rejected')),
    constraint backup_id_names_source check (starts_with(backup_id, source || '-')),
    constraint document_names_backup check (document ->> 'backup_id' = backup_id),
    constraint open_has_no_end check (status not in ('staging', 'staged') or ended_at is null),
    constraint closed_has_an_end check (status in ('staging', 'staged') or ended_at is not null),
    constraint staged_has_document check (status <> 'staged' or document is not null),
    constraint good_has_manifest check (
        status not in ('sealed', 'degraded', 'suspect', 'accepted', 'rejected')
        or (document is not null and manifest_sha256 is not null and snapshot_at is not null)),
    constraint failed_says_why check (status not in ('failed', 'abandoned') or error is not null),
    constraint decided_by_somebody check (
        (status in ('accepted', 'rejected'))
        = (decided_at is not null and decided_by is not null and decision_reason is not null))
);
comment on table vault.backups is 'One row for each attempt to back up a source';

-- One run makes one backup of a source: a second live attempt is refused by the database.
create unique index backups_one_live_attempt on vault.backups (source, run_id)
    where status not in ('abandoned', 'failed');
create index backups_by_source on vault.backups (source, started_at desc);
create index backups_open on vault.backups (status) where status in ('staging', 'staged', 'degraded', 'suspect');

create table vault.transitions (
    old_status text not null,
    new_status text not null,
    why        text not null,
    primary key (old_status, new_status)
);
comment on table vault.transitions is 'The state machine of vault.backups.status, enforced by a trigger';
insert into vault.transitions values
    ('staging',  'staged',    'everything is uploaded'),
    ('staging',  'failed',    'the attempt ended with an error'),
    ('staging',  'abandoned', 'the process of the attempt died'),
    ('staged',   'sealed',    'verified in every required region'),
    ('staged',   'degraded',  'verified in some regions'),
    ('staged',   'failed',    'verified in no region'),
    ('staged',   'suspect',   'the gate refused it'),
    ('staged',   'abandoned', 'given up before it was committed'),
    ('degraded', 'sealed',    'healed'),
    ('sealed',   'degraded',  'a copy was found damaged or lost'),
    ('suspect',  'accepted',  'a person looked and accepts it'),
    ('suspect',  'rejected',  'a person looked and rejects it');

create function vault.check_status() returns trigger
    language plpgsql set search_path = pg_catalog as
$$
begin
    if tg_op = 'INSERT' then
        -- A row begins as an attempt, or comes whole from the manifest of a region.
        if new.status <> 'staging' and new.manifest_sha256 is null then
            raise exception 'a backup begins as staging, not as %', new.status
                using errcode = 'check_violation', constraint = 'status_transition';
        end if;
    elsif new.status <> old.status and not exists (
        select from vault.transitions t where t.old_status = old.status and t.new_status = new.status)
    then
        raise exception 'backup % cannot go from % to %', old.backup_id, old.status, new.status
            using errcode = 'check_violation', constraint = 'status_transition';
    elsif old.manifest_sha256 is not null
        and (new.manifest_sha256 is distinct from old.manifest_sha256 or new.document <> old.document)
    then
        raise exception 'the manifest of backup % is written once', old.backup_id
            using errcode = 'check_violation', constraint = 'manifest_is_written_once';
    end if;
    return new;
end
$$;
create trigger check_status before insert or update on vault.backups
    for each row execute function vault.check_status();

create table vault.copies (
    backup_id    text not null references vault.backups on delete cascade,
    region       text not null,
    object_key   text not null,   -- the full key in that region
    state        text not null,
    version_id   text,
    sha256       text check (sha256 ~ '^[0-9a-f]{64}$'),
    size         bigint check (size >= 0),
    lock_mode    text,
    retain_until timestamptz,
    read_back_at timestamptz,
    error        text,
    primary key (backup_id, region, object_key),
    constraint copy_state check (state in ('pending', 'uploaded', 'verified', 'failed')),
    constraint verified_was_read_back check (
        state <> 'verified'
        or (sha256 is not null and size is not null and lock_mode is not null and retain_until is not null
            and read_back_at is not null and error is null)),
    constraint failed_copy_says_why check (state <> 'failed' or error is not null)
);
comment on table vault.copies is 'One row for each object of a backup in each region';
create index copies_not_verified on vault.copies (backup_id) where state <> 'verified';

create table vault.contents (
    source       text not null,
    sha256       text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    backup_id    text not null references vault.backups on delete cascade,
    object_index integer not null check (object_index >= 0),   -- into document.objects of that backup
    primary key (backup_id, sha256)
);
comment on table vault.contents is 'Which backup of a files source uploaded which content';
create index contents_by_source on vault.contents (source, sha256);

create table vault.probes (
    probe_id bigint generated always as identity primary key,
    region   text not null,
    at       timestamptz not null,
    report   jsonb not null
);
comment on table vault.probes is 'What each region was found to honour, and when';
create index probes_latest on vault.probes (region, at desc, probe_id desc);
