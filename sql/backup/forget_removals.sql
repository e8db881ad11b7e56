-- Recorded, or not done after all.
delete from backup.removals where region = %(region)s and cause = %(cause)s
