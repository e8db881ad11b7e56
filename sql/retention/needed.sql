-- Keys of objects of these backups that are wanted still: by a kept backup, by one in the making, or by an expired
-- one whose manifest still lies in the region.
select distinct o ->> 'key' as key
from vault.backups b
cross join lateral jsonb_array_elements(b.document -> 'objects') o
where b.source = %(source)s
  and b.status not in ('failed', 'abandoned')
  and (b.expired_at is null
       or exists (select from vault.expiries e
                  where e.backup_id = b.backup_id and e.region = %(region)s and e.manifest_gone_at is null))
  and o ->> 'backup_id' = any (%(ids)s)
