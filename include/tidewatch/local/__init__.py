"""Floor 4: everything on one machine, without Docker or root: PostgreSQL, three regions, mail, Airflow."""
