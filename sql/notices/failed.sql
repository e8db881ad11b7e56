-- `first` is true for the first failure of this notice on this channel: the one that goes into the ledger.
with before as (
    select fact, channel, first_failed_at
    from notices.deliveries
    where fact = %(fact)s and channel = %(channel)s and state = 'sending' and claim = %(claim)s
    for update
)
update notices.deliveries d
set state = 'failed', last_error = %(error)s, next_try_at = %(next_try_at)s, claim = null, lease_until = null,
    first_failed_at = coalesce(d.first_failed_at, %(now)s), maybe_repeat = d.maybe_repeat or %(unsure)s
from before
where d.fact = before.fact and d.channel = before.channel
returning before.first_failed_at is null as first
