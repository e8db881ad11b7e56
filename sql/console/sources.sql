-- Every source that was ever backed up, and since when: one step of the index a source.
with recursive known as (
    (select source from vault.backups order by source limit 1)
    union all
    select (select b.source from vault.backups b where b.source > k.source order by b.source limit 1)
    from known k where k.source is not null
)
select k.source, (select min(b.started_at) from vault.backups b where b.source = k.source) as since
from known k where k.source is not null
order by k.source
