-- What a backup in the making has reached, so that a killed run goes on where it ended.
create schema backup;

create table backup.progress (
    backup_id text primary key references vault.backups on delete cascade,
    copies    jsonb,   -- what each region proved (list of the manifest's `copies`)
    gate      jsonb,   -- what the gate said (the manifest's `gate`, and where to look)
    manifest  bytea,   -- manifest.json as signed, stored here before the first region gets it
    constraint the_gate_comes_after_the_proof check (gate is null or copies is not null),
    constraint the_manifest_comes_after_the_gate check (manifest is null or gate is not null)
);
comment on table backup.progress is 'Steps of a backup between staging and commit; each column is written in turn';

create function backup.keep_signed_bytes() returns trigger
    language plpgsql set search_path = pg_catalog as
$$
begin
    if old.manifest is not null and new.manifest is distinct from old.manifest then
        raise exception 'the signed manifest of % is already on its way to the regions', old.backup_id
            using errcode = 'check_violation', constraint = 'signed_once';
    end if;
    return new;
end
$$;
create trigger keep_signed_bytes before update on backup.progress
    for each row execute function backup.keep_signed_bytes();
