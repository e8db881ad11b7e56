-- Expired backups of which something may be left in a region, the oldest first.
select e.backup_id, b.source, e.manifest_gone_at, e.left_keys,
       coalesce((select array_agg(o ->> 'key') from jsonb_array_elements(b.document -> 'objects') o
                 where o ->> 'backup_id' = b.backup_id), '{}') as own_keys
from vault.expiries e
join vault.backups b using (backup_id)
where e.region = %(region)s and e.done_at is null
order by b.started_at, b.backup_id
