-- The objects with contents that backups of a source uploaded themselves, the newest first, and the regions in
-- which each was verified for any backup: what one finds damaged is marked for all. What an expired backup uploaded
-- counts while a kept one refers to it: the rest of it is being removed.
with verified as materialized (
    select substring(c.object_key from '[^/]+/[0-9]{4}/[0-9]{2}/[^/]+/objects/[^/]+$') as key,
           array_agg(distinct c.region) as regions
    from vault.copies c
    join vault.backups b using (backup_id)
    where b.source = %(source)s
      and c.state = 'verified'
      and b.expired_at is null
    group by 1
)
select (o.position - 1)::integer as object_index, o.entry, coalesce(v.regions, '{}') as regions
from vault.backups b
cross join lateral jsonb_array_elements(b.document -> 'objects') with ordinality o (entry, position)
left join verified v on v.key = o.entry ->> 'key'
where b.source = %(source)s
  and b.source_type = 'files'
  and b.status = any (%(statuses)s)
  and o.entry ->> 'backup_id' = b.backup_id
  and (b.expired_at is null or v.key is not null)
  and (%(key_ids)s::text[] is null
       or (b.document #> '{encryption,key_ids}' @> to_jsonb(%(key_ids)s::text[])
           and b.document #> '{encryption,key_ids}' <@ to_jsonb(%(key_ids)s::text[])))
order by b.started_at desc, b.backup_id desc, o.position
