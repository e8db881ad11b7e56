-- Object versions of kept backups that holds in force cover, in one region.
select distinct c.object_key, coalesce(c.version_id, '') as version_id
from vault.holds h
join vault.backups b on b.source = h.source
join vault.copies c on c.backup_id = b.backup_id and c.region = %(region)s and c.state = 'verified'
where h.lifted_at is null
  and b.expired_at is null
  and b.manifest_sha256 is not null
  and case when h.backup_id is not null then h.backup_id = b.backup_id
           else (h.span_from is null or b.snapshot_at >= h.span_from)
                and (h.span_until is null or b.snapshot_at < h.span_until) end
order by 1, 2
