-- One object in one region, for every backup that names it.
update vault.copies
set state = 'failed', error = %(error)s
where region = %(region)s
  and object_key = %(object_key)s
  and state = 'verified'
