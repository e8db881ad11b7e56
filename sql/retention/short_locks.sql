-- Verified objects of kept backups whose lock ends before it must.
select w.backup_id, w.until, c.region, c.object_key, c.version_id
from unnest(%(ids)s::text[], %(needed)s::timestamptz[], %(untils)s::timestamptz[]) w (backup_id, needed, until)
join vault.copies c using (backup_id)
where c.region = any (%(regions)s) and c.state = 'verified' and c.retain_until < w.needed
order by c.region, c.object_key
