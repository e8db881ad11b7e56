-- Where the word of a person lies beside the manifest.
select c.region, regexp_replace(c.object_key, 'manifest\.json$', 'decision.json') as object_key
from vault.backups b
join vault.copies c using (backup_id)
where b.backup_id = any (%(ids)s) and b.decided_at is not null and c.object_key like '%%/manifest.json'
