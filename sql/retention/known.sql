-- Backups of a source that have a manifest and were not removed. Of the regions, those that are configured count.
-- Doubted: restore tests of it failed, and of no region did the last one pass.
select b.backup_id, b.status, b.snapshot_at, b.keep_until, b.data_class, b.manifest_sha256, b.generations,
       coalesce(c.verified_in, '{}') as verified_in, c.locked_until,
       coalesce(t.doubted, false) as doubted
from vault.backups b
left join lateral (
    select array_agg(r.region order by r.region) filter (where r.whole) as verified_in,
           max(r.locked_until) as locked_until
    from (select region, bool_and(state = 'verified') as whole,
                 max(retain_until) filter (where object_key like '%%/manifest.json') as locked_until
          from vault.copies
          where backup_id = b.backup_id and region = any (%(regions)s)
          group by region) r
) c on true
left join lateral (
    select bool_and(last.status = 'failed') as doubted
    from (select distinct on (region) status
          from restore.tests
          where backup_id = b.backup_id and status in ('passed', 'failed')
          order by region, ended_at desc, attempt desc) last
) t on true
where b.source = %(source)s
  and b.expired_at is null
  and b.manifest_sha256 is not null
order by b.snapshot_at, b.backup_id
