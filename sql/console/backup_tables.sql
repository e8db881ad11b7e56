select t.n, t.entry ->> 'schema_name' as schema_name, t.entry ->> 'name' as name, t.entry ->> 'kind' as kind,
       (t.entry ->> 'rows')::bigint as rows, t.entry ->> 'sha256' as sha256
from vault.backups b,
     jsonb_array_elements(b.document -> 'database' -> 'tables') with ordinality as t (entry, n)
where b.backup_id = %(backup_id)s
order by t.n
limit %(page)s offset %(skip)s
