-- What a healer has work with: the oldest first, so that nothing waits for ever.
select b.backup_id, b.source, b.source_type, b.data_class, b.dag_id, b.run_id, b.try_number, b.status,
       b.started_at, b.snapshot_at, b.ended_at, b.error, b.manifest_sha256, b.decided_at, b.decided_by,
       b.decision_reason, b.expired_at, b.generations, b.keep_until, b.document -> 'totals' as totals
from vault.backups b
where b.expired_at is null
  and (b.status = 'degraded'
   or (b.status in ('sealed', 'suspect', 'accepted')
       and exists (select from vault.copies c where c.backup_id = b.backup_id and c.state <> 'verified')))
order by b.started_at, b.backup_id
