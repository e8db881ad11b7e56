-- One row for each backup begun since then and each region: does the region hold it, is all of it verified there?
-- Two steps of an index each: a backup of files can have thousands of objects.
select b.backup_id, b.source, b.status, b.started_at, b.expired_at is not null as expired, r.region,
       exists (select from vault.copies c where c.backup_id = b.backup_id and c.region = r.region) as held,
       exists (select from vault.copies c
               where c.backup_id = b.backup_id and c.state <> 'verified' and c.region = r.region) as lacking
from vault.backups b
cross join unnest(%(regions)s::text[]) as r (region)
where b.started_at >= %(since)s
order by b.started_at, b.backup_id
