select status, manifest_sha256, decided_by, decision_reason,
       document = %(document)s and listing is not distinct from %(listing)s as same_document
from vault.backups
where backup_id = %(backup_id)s
for update
