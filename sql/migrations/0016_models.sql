-- Models: every version with its bytes, what it was made from and how good it was, and which one is the champion.
create table sentiment.models (
    version        bigint primary key check (version >= 1),
    model_sha256   text collate "C" not null unique check (model_sha256 ~ '^[0-9a-f]{64}$'),
    content        bytea not null,
    dataset_sha256 text collate "C" not null check (dataset_sha256 ~ '^[0-9a-f]{64}$'),
    parameters     jsonb not null,
    metrics        jsonb not null,
    compared_with  bigint references sentiment.models,   -- the champion it was measured against
    run            jsonb,                  -- dag_id and run_id; null: made by hand
    registered_at  timestamptz not null,
    registered_by  text not null check (length(registered_by) between 1 and 200),
    ledger_seq     bigint not null
);
alter table sentiment.models alter column content set storage external;   -- compressed already
comment on table sentiment.models is 'Versions of the sentiment model, never changed';
comment on column sentiment.models.dataset_sha256 is 'Digest of the frozen labels it was trained on (sentiment.data_versions)';

-- Who was champion from when to when. A rollback is a row of its own, of the version that lies below.
create table sentiment.champions (
    place      bigint generated always as identity primary key,
    version    bigint not null references sentiment.models,
    since      timestamptz not null,
    until      timestamptz check (until >= since),
    below      bigint references sentiment.champions,    -- what a rollback from here brings back
    by         text not null check (length(by) between 1 and 200),
    why        text not null check (length(why) between 1 and 2000),
    ledger_seq bigint not null
);
create unique index champions_one on sentiment.champions ((true)) where until is null;
comment on table sentiment.champions is 'Champions: the row without an end is the one that scores';

create trigger refuse_change before update or delete on sentiment.models
    for each statement execute function sentiment.refuse_change();
create trigger refuse_truncate before truncate on sentiment.models
    for each statement execute function sentiment.refuse_change();
create trigger refuse_delete before delete on sentiment.champions
    for each statement execute function sentiment.refuse_change();

revoke all on sentiment.models, sentiment.champions from public;
