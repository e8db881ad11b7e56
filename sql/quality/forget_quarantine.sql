delete from quality.quarantine
where gate = %(gate)s and run_id = %(run_id)s and subject = %(subject)s
