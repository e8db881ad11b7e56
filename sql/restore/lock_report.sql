select r.run_id, r.sha256, r.started_by, r.passed from restore.reports r where r.run_id = %(run_id)s for update
