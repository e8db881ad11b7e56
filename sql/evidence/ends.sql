-- The stored head and the number of records, of one snapshot: what to compare when the ledger is empty.
select seq, hash, (select count(*) from evidence.ledger) as records from evidence.head
