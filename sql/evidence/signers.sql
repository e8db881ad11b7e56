-- Which keys signed the manifests that the ledger tells of, the last used first.
select entry::jsonb #>> '{body,signing_key_id}' as key_id, count(*)::integer as backups, min(at) as first,
       max(at) as last
from evidence.ledger
where kind = 'backup.committed'
group by 1
order by max(at) desc, 1
