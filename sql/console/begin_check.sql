insert into console.checks (backup_id, mode, asked_by, asked_at)
values (%(backup_id)s, %(mode)s, %(by)s, %(now)s)
on conflict (backup_id) where state = 'running' do nothing
returning check_id
