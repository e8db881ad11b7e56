-- A lock that was extended: for every backup that refers to the object.
update vault.copies
set retain_until = %(retain_until)s, lock_mode = %(lock_mode)s
where region = %(region)s and object_key = %(object_key)s and state = 'verified'
  and retain_until < %(retain_until)s
