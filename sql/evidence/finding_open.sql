-- The open finding of a key; nobody else can open or close one meanwhile, who does so holds the head of the ledger.
select * from evidence.findings where key = %(key)s and closed_at is null for update
