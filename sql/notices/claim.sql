-- The most urgent delivery that is due and that no other deliverer is taking at this moment.
with due as (
    select d.fact, d.channel, d.state
    from notices.deliveries d
    join notices.outbox o on o.fact = d.fact
    where d.channel = any(%(channels)s)
      and o.posted_at >= %(oldest)s
      and ((d.state in ('waiting', 'failed') and d.next_try_at <= %(due_at)s)
           or (d.state = 'sending' and d.lease_until <= %(due_at)s))
    order by array_position(array['critical', 'warning', 'info'], o.severity), o.posted_at, d.fact, d.channel
    for update of d skip locked
    limit 1
)
update notices.deliveries d
set state = 'sending', attempts = d.attempts + 1, claim = %(claim)s, lease_until = %(lease_until)s,
    maybe_repeat = d.maybe_repeat or due.state = 'sending'
from due
join notices.outbox o on o.fact = due.fact
where d.fact = due.fact and d.channel = due.channel
returning d.channel, d.attempts, d.maybe_repeat, o.fact, o.severity, o.act_now, o.title_zh, o.title_en,
          o.body_zh, o.body_en, o.next_step_zh, o.next_step_en
