select b.backup_id, b.source, b.source_type, b.data_class, b.dag_id, b.run_id, b.try_number, b.status,
       b.started_at, b.snapshot_at, b.ended_at, b.error, b.manifest_sha256, b.decided_at, b.decided_by,
       b.decision_reason, b.expired_at, b.generations, b.keep_until, b.document -> 'totals' as totals,
       b.document,
       (select l.entries from vault.listings l where l.sha256 = b.listing) as listing
from vault.backups b
where b.backup_id = %(backup_id)s
