-- When each source was first and last tried, and had its first good backup; over the whole catalogue.
select b.source, (array_agg(b.source_type order by b.started_at desc, b.backup_id))[1] as source_type,
       (array_agg(b.data_class order by b.started_at desc, b.backup_id))[1] as data_class,
       min(coalesce(b.snapshot_at, b.started_at)) as first_at, max(coalesce(b.snapshot_at, b.started_at)) as last_at,
       min(b.snapshot_at) filter (where b.status in ('sealed', 'degraded', 'accepted')) as first_good_at
from vault.backups b
group by b.source
order by b.source
