insert into vault.contents (source, sha256, backup_id, object_index)
select %(source)s, c.sha256, %(backup_id)s, c.object_index
from unnest(%(sha256s)s::text[], %(indexes)s::integer[]) c (sha256, object_index)
on conflict do nothing
