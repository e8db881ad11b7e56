-- The contents that the given objects hold; of one that several hold, the first in the order given.
select h.position - 1 as position, array_agg(c.sha256) as sha256s
from unnest(%(backup_ids)s::text[], %(indexes)s::integer[]) with ordinality h (backup_id, object_index, position)
join vault.contents c on c.backup_id = h.backup_id and c.object_index = h.object_index
group by h.position
order by h.position desc
