select count(*) as pending
from notices.deliveries
where channel = any(%(channels)s) and state in ('waiting', 'sending', 'failed')
