-- Every kind there is: one step of the index a kind.
with recursive known as (
    (select kind from evidence.ledger order by kind limit 1)
    union all
    select (select l.kind from evidence.ledger l where l.kind > k.kind order by l.kind limit 1)
    from known k where k.kind is not null
)
select kind from known where kind is not null order by kind
