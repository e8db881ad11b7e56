-- One line for each 4 MiB piece of each large object: oid, number of the piece, its length and SHA-256. The
-- server hashes; an object is never whole in memory. An empty object has one piece of length 0.
copy (
    with recursive piece (oid, number, length, sha256) as (
        select m.oid, 0, length(d.data), sha256(d.data)
        from pg_largeobject_metadata m
        cross join lateral (select lo_get(m.oid, 0, 4194304) as data offset 0) d
        union all
        select p.oid, p.number + 1, length(d.data), sha256(d.data)
        from piece p
        cross join lateral (select lo_get(p.oid, (p.number + 1) * 4194304::bigint, 4194304) as data
                            offset 0) d
        where p.length = 4194304
    )
    select oid, number, length, encode(sha256, 'hex') from piece where number = 0 or length > 0
) to stdout
