-- Notices that a channel should have taken by now: never tried, tried in vain, or given up. What a channel does not
-- want (less severe than its least), or what was posted before it was first used, is not missing.
select o.fact, c.channel, coalesce(d.state, 'waiting') as state, o.posted_at
from unnest(%(channels)s::text[], %(severities)s::text[]) c (channel, least)
join notices.outbox o
    on o.posted_at between %(since)s and %(before)s
    and array_position(%(levels)s::text[], o.severity) >= array_position(%(levels)s::text[], c.least)
left join notices.channels k on k.channel = c.channel
left join notices.deliveries d on d.fact = o.fact and d.channel = c.channel
where d.state in ('waiting', 'sending', 'failed', 'given_up')
   or (d.state is null and (k.since is null or o.posted_at >= k.since))
order by o.posted_at, o.fact, c.channel
