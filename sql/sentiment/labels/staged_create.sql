create temporary table staged_labels (
    number      bigint not null,
    post_key    text collate "C" not null,
    platform    text,
    native_id   text,
    text_sha256 text collate "C" not null,
    text        text not null,
    posted_at   timestamptz,
    label       text not null,
    annotator   text collate "C" not null,
    labelled_at timestamptz,
    outcome     text not null default 'accepted'
) on commit drop
