-- Makes constraints count as not validated, so that VALIDATE CONSTRAINT looks at the rows again. Only ever run in a
-- scratch copy. With a foreign key go its parts for the partitions of the referencing table, with a check those of
-- the tables that inherit it.
with recursive family (oid, confrelid, conname, conrelid, contype) as (
    select c.oid, c.confrelid, c.conname, c.conrelid, c.contype
    from pg_constraint c
    where c.oid = any (%(oids)s::oid[])
    union
    select c.oid, c.confrelid, c.conname, c.conrelid, c.contype
    from family f
    join pg_constraint c on (c.contype = 'f' and c.conparentid = f.oid and c.confrelid = f.confrelid)
        or (c.contype = 'c' and f.contype = 'c' and c.coninhcount > 0 and c.conname = f.conname
            and c.conrelid in (select i.inhrelid from pg_inherits i where i.inhparent = f.conrelid))
)
update pg_constraint c set convalidated = false
from family f
where c.oid = f.oid and c.convalidated
