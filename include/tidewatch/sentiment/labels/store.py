"""The store of labels: posts are added, labels are appended, nothing is overwritten.

Lock order: writers share an advisory lock (so that freezing a version of the data can wait for them), then
insert in order of identity, then append to the ledger.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute, lock_number
from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.sentiment.labels.posts import Label, Post, Source, name_problem, text_problem, tidy

Outcome = Literal["accepted", "known", "repeated", "deleted", "text_differs", "two_texts", "contradictory"]
AskedFor = Literal["second", "conflict", "model_differs", "uncertain", "correction"]

WRITERS = lock_number("tidewatch.sentiment.labels")
RESERVED = ("seed:", "model:")
"""So begin the names of corpora and models: no person and no file may use them."""


@dataclass(frozen=True, slots=True)
class Given:
    """One label that somebody gave. `number` is the caller's (a row of a file); `labelled_at` None: nobody
    knows when, which counts as the moment it is recorded."""

    number: int
    post: Post
    label: Label
    annotator: str
    labelled_at: datetime | None = None


@dataclass(frozen=True)
class Recorded:
    """A label as it stands in the store; `new` is False where the annotator had said the same before."""

    label_id: int
    post_key: str
    label: Label
    annotator: str
    labelled_at: datetime
    new: bool


def append_labels(
    conn: Connection, given: Iterable[Given], *, source: Source, origin: str, now: datetime
) -> dict[int, Outcome]:
    """Append labels in the caller's transaction; what became of each, by its number.

    accepted: it stands there now. known: the annotator's newest label of this post is the same, or this
    origin has given it before. repeated: it stands twice among `given`. deleted: the post was deleted; a text
    without an identity that equals a deleted one cannot be told from it. text_differs: the post is known with
    another text. two_texts: `given` has two texts for it. contradictory: two labels of one annotator for one
    post, and no time that says which is the later. Of the last two, all rows concerned are left out.

    `given` was checked (`text_problem`, `name_problem`).
    """
    moment = require_utc(now)
    execute(conn, "sentiment/labels/lock_writers", {"lock": WRITERS})
    execute(conn, "sentiment/labels/staged_create")
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy pg_temp.staged_labels (number, post_key, platform, native_id, text_sha256, text, "
            "posted_at, label, annotator, labelled_at) from stdin"
        ) as copy,
    ):
        for g in given:
            copy.write_row(
                (g.number, g.post.key, g.post.platform, g.post.native_id, g.post.text_sha256, g.post.text,
                 g.post.posted_at, g.label, g.annotator, g.labelled_at)
            )  # fmt: skip
    execute(conn, "sentiment/labels/staged_analyze")
    parameters = {"source": source, "origin": origin, "now": moment}
    for step in ("judge_file", "judge_store", "add_texts", "add_posts", "add_labels"):
        execute(conn, f"sentiment/labels/staged_{step}", parameters)
    outcomes = {r["number"]: r["outcome"] for r in execute(conn, "sentiment/labels/staged_outcomes")}
    execute(conn, "sentiment/labels/staged_drop")
    return outcomes


def record_label(
    conn: Connection,
    *,
    post_key: str,
    label: Label,
    annotator: str,
    blind: bool,
    asked_for: AskedFor,
    now: datetime,
) -> Recorded:
    """What a person says of a post of the store, on the labelling page or as a correction.

    `blind`: the person saw neither another label nor the model's. The same word again (a double click)
    changes nothing; another word is a new label, and the newest one counts. In the caller's transaction.
    Raises NotFound (no such post, or it was deleted meanwhile) and ConfigError (a name that is none).
    """
    moment, annotator = require_utc(now), annotator.strip()
    require_person(annotator)
    execute(conn, "sentiment/labels/lock_writers", {"lock": WRITERS})
    post = execute(conn, "sentiment/labels/hold_post", {"post_key": post_key}).fetchone()
    if post is None:
        raise NotFound(
            f"There is no post {post_key[:12]}… to label",
            expected="a post of the labelling queue",
            found="none: it was deleted, or never there",
            do="take the next one",
        )
    values = {"post_id": post["post_id"], "annotator": annotator}
    last = execute(conn, "sentiment/labels/newest_label", values).fetchone()
    if last is not None and last["label"] == label:
        return Recorded(last["label_id"], post_key, label, annotator, last["labelled_at"], new=False)
    if last is not None:  # a clock that went back must not make the older word the one that counts
        moment = max(moment, last["labelled_at"] + timedelta(microseconds=1))
    more = {"label": label, "blind": blind, "asked_for": asked_for, "labelled_at": moment}
    added = execute(
        conn, "sentiment/labels/add_label", {**values, **more, "now": require_utc(now)}
    ).fetchone()
    assert added is not None  # noqa: S101 - an insert returns its row
    return Recorded(added["label_id"], post_key, label, annotator, moment, new=True)


def answer(
    conn: Connection,
    *,
    post_key: str,
    label: Label,
    annotator: str,
    asked_for: AskedFor | None,
    now: datetime,
) -> Recorded:
    """What a person says on the labelling page, which shows what others say only afterwards: the first word
    on a text is blind, and every later one, by whatever way it comes, is a correction and is not.

    `asked_for`: as the queue said it; None: only a correction is meant. In the caller's transaction. Raises
    what `record_label` raises, and NotFound where there is nothing to correct.
    """
    require_person(annotator := annotator.strip())
    execute(conn, "sentiment/labels/lock_writers", {"lock": WRITERS})
    # Held before looking: of two tabs that answer at one moment, one is the later.
    execute(conn, "sentiment/labels/hold_post", {"post_key": post_key})
    before = execute(conn, "sentiment/labels/own_word", {"post_key": post_key, "annotator": annotator})
    first = before.fetchone() is None
    if first and asked_for is None:
        raise NotFound(
            f"There is nothing to correct of the post {post_key[:12]}…",
            expected="a label that this person gave",
            found="none: the post was deleted, or never labelled",
            do="take the next one",
        )
    return record_label(
        conn,
        post_key=post_key,
        label=label,
        annotator=annotator,
        blind=first,
        asked_for=asked_for if first and asked_for else "correction",
        now=now,
    )


def correct(conn: Connection, post: Post, *, label: Label, annotator: str, now: datetime) -> Recorded:
    """A person corrects what the model said of any post, whether the store knows it or not.

    In the caller's transaction. Raises ConfigError (text or name cannot be kept), NotFound (the post was
    deleted), and ConfigError where the post is known with another text.
    """
    post = tidy(post)
    if (problem := text_problem(post.text)) is not None:
        raise ConfigError(
            "A post cannot be labelled", expected="a text", found=problem, do="label another one"
        )
    add_post(conn, post, now=now)
    return record_label(
        conn,
        post_key=post.key,
        label=label,
        annotator=annotator,
        blind=False,
        asked_for="correction",
        now=now,
    )


def add_post(conn: Connection, post: Post, *, now: datetime) -> None:
    """The post (tidy, its text checked) is in the store afterwards. In the caller's transaction.

    Raises NotFound (it was deleted) and ConfigError (it is known with another text).
    """
    values = {
        "post_key": post.key,
        "platform": post.platform,
        "native_id": post.native_id,
        "text_sha256": post.text_sha256,
        "text": post.text,
        "posted_at": post.posted_at,
        "now": require_utc(now),
    }
    execute(conn, "sentiment/labels/lock_writers", {"lock": WRITERS})
    if execute(conn, "sentiment/labels/deleted", values).fetchone() is not None:
        raise NotFound(
            f"The post {post.key[:12]}… was deleted",
            expected="a post that may be kept",
            found="a record of its deletion",
            do="leave it; what is deleted does not come back",
        )
    for step in ("offer_text", "offer_post"):
        execute(conn, f"sentiment/labels/{step}", values)
    row = execute(conn, "sentiment/labels/post_text", values).fetchone()
    if row is None or row["text_sha256"] != post.text_sha256:
        raise ConfigError(
            f"The post {post.key[:12]}… is known with another text",
            expected="the text it had when it was labelled first",
            found="another one: the post was edited",
            do="delete the post, or label the edited one under an id of its own",
        )


def require_person(annotator: str) -> None:
    """Raises ConfigError where `annotator` cannot be the name of a person."""
    problem = name_problem(annotator) or (
        "begins like the name of a corpus or a model" if annotator.startswith(RESERVED) else None
    )
    if problem is not None:
        raise ConfigError(
            "Who gave a label is not known",
            expected="a name of 1 to 200 characters that does not begin with " + " or ".join(RESERVED),
            found=f"a name that {problem}",
            do="sign in, or name the annotator",
        )
