-- Adds what is not known yet. What a read-back has proved or refuted stays; what is only said to be there gives way to
-- a proof.
insert into vault.copies
    (backup_id, region, object_key, state, version_id, sha256, size, lock_mode, retain_until, read_back_at,
     error)
values
    (%(backup_id)s, %(region)s, %(object_key)s, %(state)s, %(version_id)s, %(sha256)s, %(size)s,
     %(lock_mode)s, %(retain_until)s, %(read_back_at)s, %(error)s)
on conflict (backup_id, region, object_key) do update
set state = excluded.state, version_id = excluded.version_id, sha256 = excluded.sha256,
    size = excluded.size, lock_mode = excluded.lock_mode, retain_until = excluded.retain_until,
    read_back_at = excluded.read_back_at, error = excluded.error
where copies.state in ('pending', 'uploaded') and excluded.state = 'verified'
