-- A shadow: a version that scores beside the champion where posts are scored, and has no say. No texts here.
create table sentiment.shadows (
    place      bigint generated always as identity primary key,
    version    bigint not null references sentiment.models,
    since      timestamptz not null,
    until      timestamptz check (until >= since),
    by         text not null check (length(by) between 1 and 200),
    why        text not null check (length(why) between 1 and 2000),
    ledger_seq bigint not null
);
create unique index shadows_one on sentiment.shadows ((true)) where until is null;
comment on table sentiment.shadows is 'Versions that score beside the champion; the row without an end does so now';

-- What both said of a text, once for each shadow and champion: the same post scored again changes nothing.
create table sentiment.shadow_scores (
    place         bigint not null references sentiment.shadows,
    champion      bigint not null references sentiment.models,
    text_sha256   text collate "C" not null check (text_sha256 ~ '^[0-9a-f]{64}$'),
    champion_says text not null check (champion_says in ('negative', 'neutral', 'positive')),
    shadow_says   text not null check (shadow_says in ('negative', 'neutral', 'positive')),
    primary key (place, champion, text_sha256)
);
comment on table sentiment.shadow_scores is 'Labels of champion and shadow for the same texts, by the SHA-256 of the text';

create trigger refuse_delete before delete on sentiment.shadows
    for each statement execute function sentiment.refuse_change();

revoke all on sentiment.shadows, sentiment.shadow_scores from public;
