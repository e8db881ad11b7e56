-- Where its removal has to be done: configured regions that were to hold it.
insert into vault.expiries (backup_id, region)
select distinct backup_id, region from vault.copies
where backup_id = %(backup_id)s and region = any (%(regions)s)
on conflict do nothing
