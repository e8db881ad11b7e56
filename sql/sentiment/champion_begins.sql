insert into sentiment.champions (version, since, below, by, why, ledger_seq)
values (%(version)s, greatest(%(now)s, (select max(until) from sentiment.champions)), %(below)s, %(by)s, %(why)s,
        %(ledger_seq)s)
returning place, since
