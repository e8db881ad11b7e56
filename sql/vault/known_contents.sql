-- The newest sealed backup that uploaded each content, whole in every region asked for. Content only: after a
-- rebuild of the catalogue nobody has yet seen the manifests of the other regions.
with whole as (
    select b.backup_id, b.started_at
    from vault.backups b
    where b.source = %(source)s
      and b.status = 'sealed'
      and not exists (
          select from unnest(%(regions)s::text[]) r (region)
          where not exists (select from vault.copies c
                            where c.backup_id = b.backup_id and c.region = r.region and c.state = 'verified')
             or exists (select from vault.copies c
                        where c.backup_id = b.backup_id and c.region = r.region and c.state <> 'verified'
                          and c.object_key not like '%%/manifest.json'))
)
select distinct on (c.sha256) c.sha256, c.backup_id, c.object_index
from vault.contents c
join whole w using (backup_id)
where c.source = %(source)s
order by c.sha256, w.started_at desc, c.backup_id desc
