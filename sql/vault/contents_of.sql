-- The contents that this backup itself uploaded; those of earlier backups have rows already.
insert into vault.contents (source, sha256, backup_id, object_index)
select distinct on (f ->> 'sha256') b.source, f ->> 'sha256', b.backup_id, (f ->> 'object')::integer
from vault.backups b
cross join lateral jsonb_array_elements(b.document -> 'files') f
where b.backup_id = %(backup_id)s
  and jsonb_typeof(b.document -> 'files') = 'array'
  and f ->> 'sha256' is not null
  and b.document -> 'objects' -> (f ->> 'object')::integer ->> 'backup_id' = b.backup_id
order by f ->> 'sha256', (f ->> 'object')::integer
on conflict do nothing
