-- One backup, without its lists of objects, tables and files, which can be very long.
select b.backup_id, b.source, b.source_type, b.data_class, b.dag_id, b.run_id, b.try_number, b.status,
       b.started_at, b.snapshot_at, b.ended_at, b.error, b.manifest_sha256, b.decided_at, b.decided_by,
       b.decision_reason, b.expired_at, b.generations,
       b.document -> 'totals' as totals, b.document -> 'gate' as gate, b.document -> 'policy' as policy,
       b.document -> 'encryption' as encryption, b.document -> 'tools' as tools, b.document -> 'notes' as notes,
       b.document -> 'timings' as timings, b.document -> 'ledger_head' as ledger_head,
       b.document ->> 'schedule' as schedule,
       b.document -> 'database' ->> 'server_version' as server_version,
       b.document -> 'database' ->> 'schema_sha256' as schema_sha256,
       b.document -> 'database' ->> 'content_sha256' as content_sha256,
       coalesce(jsonb_array_length(b.document -> 'objects'), 0) as objects,
       coalesce(jsonb_array_length(b.document -> 'database' -> 'tables'), 0) as tables
from vault.backups b
where b.backup_id = %(backup_id)s
