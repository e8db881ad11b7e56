-- Good backups of a source that have not expired, the newest snapshot first, each with the regions in which every
-- one of its objects was read back and found right.
select b.backup_id, b.snapshot_at,
       coalesce((select array_agg(c.region order by c.region)
                 from (select region from vault.copies
                       where backup_id = b.backup_id
                       group by region
                       having bool_and(state = 'verified')) c), '{}') as regions
from vault.backups b
where b.source = %(source)s
  and b.status = any (%(statuses)s)
  and b.expired_at is null
  and b.snapshot_at <= %(at)s
order by b.snapshot_at desc, b.backup_id desc
