-- Everything that matters is in the catalogue and in the regions by now.
delete from backup.progress where backup_id = %(backup_id)s
