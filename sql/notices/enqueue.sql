-- One row for every notice that the channel has no row for. What a channel does not want is marked once, so that
-- lowering its min_severity later does not send the past.
insert into notices.deliveries (fact, channel, state, next_try_at)
select o.fact, c.channel,
       case when o.severity = any(%(severities)s) then 'waiting' else 'skipped' end,
       case when o.severity = any(%(severities)s) then o.posted_at end
from notices.channels c
join notices.outbox o on o.posted_at >= c.since - %(max_age)s::interval
where c.channel = %(channel)s
  and not exists (select from notices.deliveries d where d.fact = o.fact and d.channel = c.channel)
on conflict (fact, channel) do nothing
