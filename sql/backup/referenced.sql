-- Which of these attempts another backup that may still count takes content from.
select i.backup_id
from unnest(%(ids)s::text[]) i (backup_id)
where exists (select from vault.copies c
              join vault.backups b using (backup_id)
              where b.status not in ('failed', 'abandoned') and b.expired_at is null and b.backup_id <> i.backup_id
                and position('/' || i.backup_id || '/' in c.object_key) > 0)
   or exists (select from vault.backups b
              cross join lateral jsonb_array_elements(b.document -> 'objects') o
              where b.status = 'staged' and b.backup_id <> i.backup_id
                and o ->> 'backup_id' = i.backup_id)
