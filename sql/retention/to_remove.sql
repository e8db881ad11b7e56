-- Where its removal has to be done: regions that were to hold it. One that is not configured now may come back.
insert into vault.expiries (backup_id, region)
select distinct backup_id, region from vault.copies
where backup_id = %(backup_id)s
on conflict do nothing
