-- One row a source that the catalogue knows. Without the documents, which can be tens of megabytes.
select source,
       max(started_at) as begun,
       max(snapshot_at) filter (where status in ('sealed', 'accepted')) as good,
       max(snapshot_at) filter (where status = 'degraded') as degraded,
       (array_agg(status order by started_at desc, backup_id desc))[1] as status,
       (array_agg(error order by started_at desc, backup_id desc))[1] as error,
       (count(*) filter (where status not in ('staging', 'failed', 'abandoned') and expired_at is null))::integer as kept
from vault.backups
group by source
