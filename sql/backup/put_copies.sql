insert into backup.progress (backup_id, copies) values (%(backup_id)s, %(copies)s)
on conflict (backup_id) do update set copies = excluded.copies
