"""Is everything as it should be? Asked without Airflow, and answered also when half of it is down.

`examine.examine` gathers facts (each kind by itself, with a time limit) and has the checks judge them. Checks
are functions of facts; nothing here changes anything.
"""
