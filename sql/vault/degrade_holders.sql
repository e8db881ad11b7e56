-- Sealed backups that name an object which a region lost.
update vault.backups b
set status = 'degraded'
where b.status = 'sealed'
  and b.expired_at is null
  and exists (select from vault.copies c
              where c.backup_id = b.backup_id and c.region = %(region)s and c.object_key = %(object_key)s
                and c.state = 'failed')
returning b.backup_id
