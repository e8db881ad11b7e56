-- Lists of files can be tens of megabytes: kept once for all backups that found the same, compressed by us,
-- beside the documents, which stay small.
create table vault.listings (
    sha256  text primary key check (sha256 ~ '^[0-9a-f]{64}$'),   -- of the JSON
    entries bytea not null                                        -- the JSON (manifest.files), zstd
);
alter table vault.listings alter column entries set storage external;
comment on table vault.listings is 'Lists of files; vault.backups.listing says which backup found which';

alter table vault.backups add column listing text references vault.listings;
create index backups_by_listing on vault.backups (listing) where listing is not null;
comment on column vault.backups.listing is 'Where document.files lies; null: in the document itself';

-- Signed bytes of tens of megabytes lie here for a minute: compressing them would take longer.
alter table backup.progress alter column manifest set storage external;

create function vault.keep_listing() returns trigger
    language plpgsql set search_path = pg_catalog as
$$
begin
    if old.manifest_sha256 is not null and new.listing is distinct from old.listing then
        raise exception 'the manifest of backup % is written once', old.backup_id
            using errcode = 'check_violation', constraint = 'manifest_is_written_once';
    end if;
    return new;
end
$$;
create trigger keep_listing before update on vault.backups
    for each row execute function vault.keep_listing();

-- The list goes with the last backup that found it.
create function vault.drop_listing() returns trigger
    language plpgsql set search_path = pg_catalog as
$$
begin
    delete from vault.listings l
    where l.sha256 = old.listing
      and not exists (select from vault.backups b where b.listing = l.sha256);
    return null;
end
$$;
create trigger drop_listing after delete on vault.backups
    for each row when (old.listing is not null) execute function vault.drop_listing();
