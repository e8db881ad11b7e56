-- One page of backups, newest first, from the one after (started_at, backup_id) on.
select b.backup_id, b.source, b.source_type, b.status, b.started_at, b.snapshot_at, b.expired_at, b.error,
       b.document -> 'totals' as totals
from vault.backups b
where (%(source)s::text is null or b.source = %(source)s)
  and (%(status)s::text is null or b.status = %(status)s)
  and (%(at)s::timestamptz is null or (b.started_at, b.backup_id) < (%(at)s, %(id)s))
order by b.started_at desc, b.backup_id desc
limit %(page)s
