-- What a backup is kept as; a promise once made is only lengthened.
update vault.backups
set generations = coalesce(%(generations)s, generations), keep_until = greatest(keep_until, %(keep_until)s)
where backup_id = %(backup_id)s
  and (%(generations)s::text[] is not null or keep_until is null or keep_until < %(keep_until)s)
