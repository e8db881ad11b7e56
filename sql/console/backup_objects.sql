select o.n, o.entry ->> 'name' as name, o.entry ->> 'role' as role, o.entry ->> 'backup_id' as backup_id,
       (o.entry ->> 'plain_size')::bigint as plain_size, (o.entry ->> 'cipher_size')::bigint as cipher_size,
       o.entry ->> 'cipher_sha256' as cipher_sha256
from vault.backups b,
     jsonb_array_elements(b.document -> 'objects') with ordinality as o (entry, n)
where b.backup_id = %(backup_id)s
order by o.n
limit %(page)s offset %(skip)s
