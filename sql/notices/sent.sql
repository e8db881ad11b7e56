update notices.deliveries
set state = 'sent', sent_at = %(now)s, claim = null, lease_until = null, next_try_at = null
where fact = %(fact)s and channel = %(channel)s and state = 'sending' and claim = %(claim)s
returning fact
