insert into notices.outbox (fact, posted_at, severity, act_now, title_zh, title_en, body_zh, body_en,
                            next_step_zh, next_step_en)
values (%(fact)s, %(posted_at)s, %(severity)s, %(act_now)s, %(title_zh)s, %(title_en)s, %(body_zh)s, %(body_en)s,
        %(next_step_zh)s, %(next_step_en)s)
on conflict (fact) do nothing
returning fact
