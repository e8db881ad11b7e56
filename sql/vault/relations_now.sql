-- How the relations stand now, whatever the snapshot: these functions look at the current catalogue. Asked
-- after the locks were taken. A rewritten table (truncated, type changed) would look empty in our snapshot.
select o.oid
from unnest(%(oids)s::oid[], %(names)s::text[], %(filenodes)s::oid[]) o (oid, name, filenode)
where to_regclass(o.name) is distinct from o.oid::regclass
   or coalesce(pg_relation_filenode(o.oid), 0) <> o.filenode
