insert into notices.channels (channel, since) values (%(channel)s, %(now)s) on conflict (channel) do nothing
