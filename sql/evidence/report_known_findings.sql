-- Which of these were ever opened: one that a person has closed is not opened again.
select distinct key from evidence.findings where key = any (%(keys)s)
