-- The versions of the policy that records name.
select entry::jsonb #>> '{body,policy,id}' as policy, entry::jsonb #>> '{body,policy,version}' as version,
       count(*) as records, min(at) as first_at, max(at) as last_at
from evidence.ledger
where at >= %(since)s and at < %(cut)s and kind in ('backup.started', 'region.probed')
group by 1, 2
order by min(at), 1, 2
