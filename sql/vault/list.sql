select b.backup_id, b.source, b.source_type, b.data_class, b.dag_id, b.run_id, b.try_number, b.status,
       b.started_at, b.snapshot_at, b.ended_at, b.error, b.manifest_sha256, b.decided_at, b.decided_by,
       b.decision_reason, b.expired_at, b.generations, b.keep_until, b.document -> 'totals' as totals
from vault.backups b
where (%(source)s::text is null or b.source = %(source)s)
  and (%(statuses)s::text[] is null or b.status = any (%(statuses)s))
  and (%(since)s::timestamptz is null or b.started_at >= %(since)s)
order by b.started_at desc, b.backup_id desc
limit %(n)s
