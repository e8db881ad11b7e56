with old as (
    select d.fact, d.channel, d.first_failed_at
    from notices.deliveries d
    join notices.outbox o on o.fact = d.fact
    where d.channel = any(%(channels)s)
      and o.posted_at < %(oldest)s
      and (d.state in ('waiting', 'failed') or (d.state = 'sending' and d.lease_until <= %(now)s))
    for update of d skip locked
)
update notices.deliveries d
set state = 'given_up', next_try_at = null, first_failed_at = coalesce(d.first_failed_at, %(now)s),
    last_error = coalesce(d.last_error, %(reason)s)
from old
join notices.outbox o on o.fact = old.fact
where d.fact = old.fact and d.channel = old.channel
returning d.fact, d.channel, o.severity, old.first_failed_at as failed_before
