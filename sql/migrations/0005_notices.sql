-- Notices: what people are told, once. `outbox` holds one row a fact, `deliveries` one row a fact and channel.

create schema notices;

comment on schema notices is 'Tidewatch: who was told what, and through which channel';

create table notices.outbox (
    fact         text primary key,
    posted_at    timestamptz not null,
    severity     text not null check (severity in ('info', 'warning', 'critical')),
    act_now      boolean not null,
    title_zh     text not null,
    title_en     text not null,
    body_zh      text not null,
    body_en      text not null,
    next_step_zh text not null,
    next_step_en text not null
);

create index outbox_posted on notices.outbox (posted_at);

comment on column notices.outbox.fact is 'The unique key of the fact: posting it again changes nothing';

create table notices.channels (
    channel text primary key,
    since   timestamptz not null
);

comment on table notices.channels is
    'When each channel was first used: a new channel is not sent the history, and nothing posted later is forgotten';

-- waiting    not tried yet
-- sending    a deliverer has taken it and may have sent it: until lease_until nobody else touches it
-- sent       the channel accepted it
-- failed     the last attempt failed; tried again at next_try_at
-- given_up   it became too old before a channel accepted it
-- skipped    less severe than the channel wants
create table notices.deliveries (
    fact            text not null references notices.outbox (fact) on delete cascade,
    channel         text not null references notices.channels (channel) on delete cascade,
    state           text not null check (state in ('waiting', 'sending', 'sent', 'failed', 'given_up', 'skipped')),
    attempts        integer not null default 0,
    maybe_repeat    boolean not null default false,
    claim           uuid,
    lease_until     timestamptz,
    next_try_at     timestamptz,
    first_failed_at timestamptz,
    last_error      text,
    sent_at         timestamptz,
    primary key (fact, channel),
    check (state <> 'sending' or (claim is not null and lease_until is not null)),
    check (state not in ('waiting', 'failed') or next_try_at is not null),
    check (state <> 'sent' or sent_at is not null)
);

create index deliveries_open on notices.deliveries (channel, next_try_at) where state in ('waiting', 'sending', 'failed');

comment on column notices.deliveries.maybe_repeat is
    'An earlier attempt was cut off between sending and recording: the text then says that it may be a repeat';

revoke all on schema notices from public;
revoke all on all tables in schema notices from public;
