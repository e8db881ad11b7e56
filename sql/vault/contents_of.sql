-- The contents that this backup itself uploaded; those of earlier backups have rows already. The document is
-- unpacked once, not once a file: it can be tens of megabytes.
with this as materialized (
    select b.source, b.backup_id, b.document -> 'files' as files, b.document -> 'objects' as objects
    from vault.backups b
    where b.backup_id = %(backup_id)s
      and jsonb_typeof(b.document -> 'files') = 'array'
), own as materialized (
    select (o.position - 1)::integer as object_index
    from this, jsonb_array_elements(this.objects) with ordinality o (entry, position)
    where o.entry ->> 'backup_id' = this.backup_id
)
insert into vault.contents (source, sha256, backup_id, object_index)
select distinct on (f.sha256) this.source, f.sha256, this.backup_id, f.object
from this
cross join lateral jsonb_to_recordset(this.files) f (sha256 text, object integer)
join own on own.object_index = f.object
where f.sha256 is not null
order by f.sha256, f.object
on conflict do nothing
