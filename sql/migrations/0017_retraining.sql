-- Retraining: posts that no model is ever trained on, and what each run of retraining found. No texts here: what
-- shows a text joins sentiment.texts, so that a deleted post is gone from here too.

-- Once held out, always held out: what was ever tested on is never trained on.
create table sentiment.held_out (
    text_sha256 text collate "C" primary key references sentiment.texts on delete cascade,
    run_id      text not null check (length(run_id) between 1 and 250),   -- the run that drew it
    since       timestamptz not null
);
comment on table sentiment.held_out is 'Texts to evaluate on; never trained on';

create table sentiment.retrainings (
    run_id      text collate "C" primary key check (length(run_id) between 1 and 250),
    dag_id      text not null check (length(dag_id) between 1 and 250),
    started_at  timestamptz not null,
    started_by  text check (length(started_by) between 1 and 200),   -- null: the schedule
    state       text not null default 'running' check (state in
                    ('running', 'not_enough', 'refused', 'awaiting', 'promoted', 'rejected', 'unanswered', 'failed')),
    digest      text collate "C" references sentiment.data_versions,
    frozen_at   timestamptz,                                         -- what is recent is counted from here
    split       jsonb,                                               -- counts of the sets; what was left out and why
    missing     jsonb,                                               -- not_enough: what is missing, in numbers
    champion    bigint references sentiment.models,                  -- what the challenger was compared with
    challenger  bigint references sentiment.models,
    search      jsonb,                                               -- parameters tried, and how they did
    measured    jsonb,                                               -- speed of the challenger, posts a second
    gates       jsonb,                                               -- by gate: passed, critical, warnings, docs
    told        jsonb,                                               -- refused, failed: which gate, in words
    decided_by  text check (length(decided_by) between 1 and 200),
    note        text check (length(note) <= 2000),
    via         text check (via in ('airflow', 'console', 'command_line')),
    ledger_seq  bigint,                                              -- the record of how it ended
    ended_at    timestamptz check (ended_at >= started_at),
    constraint open_without_end check ((state in ('running', 'awaiting')) = (ended_at is null))
);
create unique index retrainings_one on sentiment.retrainings ((true)) where state in ('running', 'awaiting');
comment on table sentiment.retrainings is 'Runs of retrain_model: one row a run, its state and what came of it';

-- How champion and challenger did on each set of held-out posts; figures is an Evaluation (docs/sentiment.md).
create table sentiment.evaluations (
    run_id   text collate "C" not null references sentiment.retrainings,
    role     text not null check (role in ('champion', 'challenger')),
    set_name text not null check (length(set_name) between 1 and 200),
    kind     text not null check (kind in ('frozen', 'recent', 'platform', 'crisis')),
    n        bigint not null check (n > 0),
    figures  jsonb not null,
    primary key (run_id, role, set_name)
);
comment on table sentiment.evaluations is 'Figures of a model on a set of held-out posts';

-- The paired test on each set: posts that only one of the two got right, McNemar's p.
create table sentiment.comparisons (
    run_id          text collate "C" not null references sentiment.retrainings,
    set_name        text not null,
    n               bigint not null check (n > 0),
    only_champion   bigint not null check (only_champion >= 0),
    only_challenger bigint not null check (only_challenger >= 0),
    difference      double precision not null,          -- accuracy of the challenger less that of the champion
    low             double precision not null,          -- 95 % interval of the difference
    high            double precision not null,
    p_value         double precision not null check (p_value between 0 and 1),
    primary key (run_id, set_name)
);
comment on table sentiment.comparisons is 'Champion and challenger on the same posts';

-- Posts on which the two differ, for the person who decides.
create table sentiment.differences (
    run_id           text collate "C" not null references sentiment.retrainings,
    place            integer not null check (place >= 1),
    text_sha256      text collate "C" not null references sentiment.texts on delete cascade,
    truth            text not null check (truth in ('negative', 'neutral', 'positive')),
    champion_says    text not null check (champion_says in ('negative', 'neutral', 'positive')),
    challenger_says  text not null check (challenger_says in ('negative', 'neutral', 'positive')),
    champion_p       real[] not null check (cardinality(champion_p) = 3),     -- negative, neutral, positive
    challenger_p     real[] not null check (cardinality(challenger_p) = 3),
    primary key (run_id, place)
);
comment on table sentiment.differences is 'A sample of held-out posts that champion and challenger label differently';

-- Whether what comes in still looks like what was trained on.
create table sentiment.drifts (
    run_id    text collate "C" not null references sentiment.retrainings,
    feature   text not null check (length(feature) between 1 and 100),
    statistic double precision not null,
    critical  double precision not null,                -- for these n; beyond it the feature has drifted
    n_before  bigint not null check (n_before > 0),
    n_recent  bigint not null check (n_recent > 0),
    drifted   boolean not null,
    primary key (run_id, feature)
);
comment on table sentiment.drifts is 'Drift of inputs: recent posts against those before, feature by feature';

create trigger refuse_truncate before truncate on sentiment.retrainings
    for each statement execute function sentiment.refuse_change();
create trigger refuse_delete before delete on sentiment.retrainings
    for each statement execute function sentiment.refuse_change();

revoke all on sentiment.held_out, sentiment.retrainings, sentiment.evaluations, sentiment.comparisons,
    sentiment.differences, sentiment.drifts from public;
