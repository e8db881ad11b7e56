insert into sentiment.shadows (version, since, by, why, ledger_seq)
values (%(version)s, greatest(%(now)s, (select max(until) from sentiment.shadows)), %(by)s, %(why)s, %(ledger_seq)s)
