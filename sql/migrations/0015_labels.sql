-- Labels: what people, files and corpora said of posts. Texts are personal data and lie in one table, `texts`;
-- everything else holds ids, hashes, counts and names of annotators. Nothing here is granted to anybody.
create schema sentiment;
comment on schema sentiment is 'Tidewatch: posts to learn from, and what was said of them';

create table sentiment.texts (
    text_sha256 text collate "C" primary key check (text_sha256 ~ '^[0-9a-f]{64}$'),   -- of its UTF-8 bytes
    text        text not null check (length(text) between 1 and 1000000)
);
comment on table sentiment.texts is 'Texts of posts: personal data, the only table that holds any';

-- Who a post is: its platform and the id it has there; a text that comes without both is its own identity.
create table sentiment.posts (
    post_id     bigint generated always as identity primary key,
    post_key    text collate "C" not null unique check (post_key ~ '^[0-9a-f]{64}$'),
    platform    text check (length(platform) between 1 and 100),
    native_id   text check (length(native_id) between 1 and 400),
    text_sha256 text collate "C" not null references sentiment.texts,
    posted_at   timestamptz,
    added_at    timestamptz not null,
    constraint id_with_platform check ((platform is null) = (native_id is null))
);
create index posts_by_text on sentiment.posts (text_sha256);
comment on table sentiment.posts is 'Posts that were labelled or are to be; post_key is the SHA-256 of the identity';

-- One row a label given. Never changed; removed together with its post only.
create table sentiment.labels (
    label_id    bigint generated always as identity primary key,
    post_id     bigint not null references sentiment.posts on delete cascade,
    label       text not null check (label in ('negative', 'neutral', 'positive', 'unclear')),
    annotator   text collate "C" not null check (length(annotator) between 1 and 200),
    source      text not null check (source in ('seed', 'import', 'label_studio', 'console')),
    origin      text not null check (length(origin) between 1 and 200),
    asked_for   text check (asked_for in ('second', 'conflict', 'model_differs', 'uncertain', 'correction')),
    blind       boolean not null,          -- the annotator saw neither another label nor the model's
    labelled_at timestamptz not null,      -- as the file says it, else when it came in
    recorded_at timestamptz not null
);
create index labels_by_post on sentiment.labels (post_id);
create index labels_by_origin on sentiment.labels (origin);
comment on table sentiment.labels is 'Every label that was ever given, append-only; what counts is in the view votes';
comment on column sentiment.labels.origin is
    'file:<SHA-256> of an import, the package and version of a corpus, or the page';

-- What each annotator says of each text: the newest word, of labels up to one (null: of all). Two different ones of
-- the same moment are none.
create function sentiment.votes_up_to(last_label bigint)
    returns table (text_sha256 text, annotator text, label text, source text, blind boolean, asked_for text,
                   labelled_at timestamptz)
    language sql
    stable
as $$
with newest as (
    select p.text_sha256, l.annotator, l.label, l.source, l.blind, l.asked_for, l.labelled_at,
           rank() over (partition by p.text_sha256, l.annotator order by l.labelled_at desc) as age
    from sentiment.labels l
    join sentiment.posts p using (post_id)
    where last_label is null or l.label_id <= last_label
)
select n.text_sha256, n.annotator,
       case when min(n.label) = max(n.label) then min(n.label) else 'contradictory' end,
       min(n.source), bool_and(n.blind), min(n.asked_for), max(n.labelled_at)
from newest n
where n.age = 1
group by n.text_sha256, n.annotator
$$;

create view sentiment.votes as select * from sentiment.votes_up_to(null);
comment on view sentiment.votes is 'One row for each text and annotator: the newest label';

-- Files and corpora that were read: the same one again adds nothing.
create table sentiment.imports (
    origin      text collate "C" not null,
    mapping     text collate "C" not null check (mapping ~ '^[0-9a-f]{64}$'),   -- digest of how it was read
    imported_at timestamptz not null,
    imported_by text not null,
    report      jsonb not null,            -- counts only
    primary key (origin, mapping)
);
comment on table sentiment.imports is 'What was imported, how it was read, and how many rows were taken or refused';

-- What is left of a deleted post: nobody brings it back by importing an old file.
create table sentiment.deletions (
    post_key    text collate "C" primary key check (post_key ~ '^[0-9a-f]{64}$'),
    text_sha256 text collate "C" not null check (text_sha256 ~ '^[0-9a-f]{64}$'),
    labels      bigint not null check (labels >= 0),
    deleted_at  timestamptz not null
);
create index deletions_by_text on sentiment.deletions (text_sha256);
comment on table sentiment.deletions is 'Deleted posts as hashes and counts, as the records labels.deleted say it';

-- What the model thought of posts that wait for a label.
create table sentiment.scores (
    post_id      bigint primary key references sentiment.posts on delete cascade,
    model_sha256 text not null check (model_sha256 ~ '^[0-9a-f]{64}$'),
    p_negative   real not null check (p_negative between 0 and 1),
    p_neutral    real not null check (p_neutral between 0 and 1),
    p_positive   real not null check (p_positive between 0 and 1),
    scored_at    timestamptz not null
);
comment on table sentiment.scores is 'Probabilities of posts in the labelling queue';

-- Frozen versions of the labels: what a model was trained on, and how far each annotator was believed.
create table sentiment.data_versions (
    digest        text collate "C" primary key check (digest ~ '^[0-9a-f]{64}$'),
    up_to         bigint not null check (up_to >= 0),      -- the last label_id in it
    rows          bigint not null check (rows >= 0),
    summary       jsonb not null,          -- counts, parameters, reliabilities
    frozen_at     timestamptz not null
);
comment on table sentiment.data_versions is 'Training sets that were frozen: digest, extent, counts and reliabilities';

create function sentiment.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'sentiment.% is append-only: % is refused', tg_table_name, tg_op
        using errcode = 'restrict_violation',
              hint = 'To correct a label, record a new one; to delete a post, tidewatch labels delete.';
end
$$;

create function sentiment.label_goes_with_its_post() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from sentiment.posts p where p.post_id = old.post_id) then
        raise exception 'sentiment.labels is append-only: a label is removed together with its post only'
            using errcode = 'restrict_violation',
                  hint = 'To correct a label, record a new one; to delete a post, tidewatch labels delete.';
    end if;
    return old;
end
$$;

create function sentiment.deletion_is_recorded() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from sentiment.labels l where l.post_id = old.post_id)
        and not exists (select from sentiment.deletions d where d.post_key = old.post_key)
    then
        raise exception 'sentiment.posts: a labelled post is removed by a recorded deletion only'
            using errcode = 'restrict_violation', hint = 'Use tidewatch labels delete.';
    end if;
    return old;
end
$$;

create trigger refuse_change before update on sentiment.labels
    for each statement execute function sentiment.refuse_change();
create trigger refuse_truncate before truncate on sentiment.labels
    for each statement execute function sentiment.refuse_change();
create trigger refuse_delete before delete on sentiment.labels
    for each row execute function sentiment.label_goes_with_its_post();
create trigger refuse_change before update on sentiment.posts
    for each statement execute function sentiment.refuse_change();
create trigger refuse_delete before delete on sentiment.posts
    for each row execute function sentiment.deletion_is_recorded();
create trigger refuse_change before update or delete on sentiment.deletions
    for each statement execute function sentiment.refuse_change();
create trigger refuse_truncate before truncate on sentiment.deletions
    for each statement execute function sentiment.refuse_change();

revoke all on schema sentiment from public;
revoke all on all tables in schema sentiment from public;
revoke all on all functions in schema sentiment from public;
