-- Which key signed the manifest of each of these backups, as the ledger has it.
select distinct on (subject) subject as backup_id, entry::jsonb #>> '{body,signing_key_id}' as key_id
from evidence.ledger
where kind = 'backup.committed' and subject = any (%(backup_ids)s)
order by subject, seq desc
