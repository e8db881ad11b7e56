"""Floor 4: everything on one machine, without Docker and without root: PostgreSQL, three regions, mail, Airflow."""
