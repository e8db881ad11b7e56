select status, manifest_sha256, document = %(document)s as same_document, decided_by, decision_reason
from vault.backups
where backup_id = %(backup_id)s
for update
