insert into sentiment.data_versions (digest, up_to, rows, summary, frozen_at)
values (%(digest)s, %(up_to)s, %(rows)s, %(summary)s, %(now)s)
on conflict (digest) do nothing
returning digest
