-- Without the list of files, which can be a hundred thousand entries long.
select b.backup_id, b.source, b.source_type, b.data_class, b.dag_id, b.run_id, b.try_number, b.status,
       b.started_at, b.snapshot_at, b.ended_at, b.error, b.manifest_sha256, b.decided_at, b.decided_by,
       b.decision_reason, b.expired_at, b.generations, b.keep_until, b.document -> 'totals' as totals,
       case when b.document ? 'files' then jsonb_set(b.document, '{files}', '[]') else b.document end as document
from vault.backups b
where b.source = %(source)s
  and b.status = any (%(statuses)s)
  and b.document is not null
order by b.started_at desc, b.backup_id desc
limit %(n)s
