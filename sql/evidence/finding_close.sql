update evidence.findings
set closed_at = %(now)s, closed_by = %(by)s, closed_why = %(why)s, closed_seq = %(seq)s
where finding_id = %(finding_id)s
returning *
