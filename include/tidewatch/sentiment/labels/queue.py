"""The labelling queue: which posts are worth a person's label most, and which a second, blind one.

An item carries neither labels nor probabilities: nobody can be swayed by what is not there. Once a person has
spoken, `opinion` tells what the others and the model say.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidewatch.core.canonical import digest
from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute, statement
from tidewatch.core.errors import NotFound
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.labels.mapping import Queue
from tidewatch.sentiment.labels.posts import Post, text_problem, tidy
from tidewatch.sentiment.labels.store import WRITERS, AskedFor, require_person

_REASONS: tuple[AskedFor, ...] = ("conflict", "model_differs", "uncertain", "second")


@dataclass(frozen=True)
class Item:
    """A post to label. `asked_for` goes to `record_label`; it tells something: show it to nobody before."""

    post_key: str
    text: str = field(repr=False)
    platform: str | None
    native_id: str | None
    posted_at: datetime | None
    asked_for: AskedFor


@dataclass(frozen=True)
class Opinion:
    """What others say of a post: labels by annotator, and the model's probabilities, where it was asked."""

    labels: Mapping[str, str]
    probabilities: Mapping[str, float] | None
    model_sha256: str | None


@dataclass(frozen=True)
class Scored:
    """A post with what a model thinks of it; the probabilities are in the order of LABELS."""

    post: Post
    probabilities: tuple[float, float, float]


def queue(conn: Connection, *, annotator: str, settings: Queue, n: int = 20) -> list[Item]:
    """The next `n` posts for this person, none of which he has labelled.

    First texts on which people differ, then those of which a sure model says something else than the one
    person who labelled them, then those of which it is least sure. Among them, about one in `every`, texts
    that another person has labelled, from a sample that is the same for everybody and depends on `seed`
    alone. The same state of the store gives the same list. Raises ConfigError (nobody is named).
    """
    require_person(annotator := annotator.strip())
    values = {"annotator": annotator, "n": n, **_sample(settings)}
    rest = execute(conn, "sentiment/labels/queue_rest", {**values, **_doubt(settings)}).fetchall()
    chosen = {r["text_sha256"] for r in rest}
    second = execute(conn, "sentiment/labels/queue_second", values).fetchall()
    second = [r for r in second if r["text_sha256"] not in chosen]
    mixed = _mixed(second, rest, settings, annotator)[:n]
    posts = execute(conn, "sentiment/labels/queue_posts", {"texts": [r["text_sha256"] for r in mixed]})
    by_text = {p["text_sha256"]: p for p in posts}
    names = ("post_key", "text", "platform", "native_id", "posted_at")
    return [
        Item(**{k: by_text[r["text_sha256"]][k] for k in names}, asked_for=r["asked_for"])
        for r in mixed
        if r["text_sha256"] in by_text  # deleted since a moment ago
    ]


def waiting(conn: Connection, *, settings: Queue) -> dict[AskedFor, int]:
    """How many posts wait for a label and why, for somebody who has labelled none of them."""
    values = {"annotator": "", "n": None, **_sample(settings), **_doubt(settings)}
    found: dict[str, AskedFor] = {}
    for each in ("rest", "second"):
        for row in execute(conn, f"sentiment/labels/queue_{each}", values):
            found.setdefault(row["text_sha256"], row["asked_for"])
    counts = Counter(found.values())
    return {reason: counts[reason] for reason in _REASONS}


def opinion(conn: Connection, post_key: str) -> Opinion:
    """What others and the model say of a post. Whoever was shown it before labelling did not label blind.

    Raises NotFound.
    """
    row = execute(conn, "sentiment/labels/opinion", {"post_key": post_key}).fetchone()
    if row is None:
        raise NotFound(
            f"There is no post {post_key[:12]}…",
            expected="a post of the label store",
            found="none: it was deleted, or never there",
            do="take the next one",
        )
    probabilities = None
    if row["model_sha256"] is not None:
        probabilities = {label: float(row[f"p_{label}"]) for label in LABELS}
    return Opinion(dict(row["labels"]), probabilities, row["model_sha256"])


def offer(conn: Connection, scored: Iterable[Scored], *, model_sha256: str, now: datetime) -> int:
    """Put posts into the queue with what the model thinks of them; how many were put there.

    Deleted posts, texts that cannot be kept and posts known with another text are left out. The newest score
    of a post counts. In the caller's transaction; offer thousands, not millions: these are for people.
    """
    moment = require_utc(now)
    rows: list[dict[str, Any]] = []
    for each in scored:
        post = tidy(each.post)
        if text_problem(post.text) is not None:
            continue
        p = dict(zip((f"p_{label}" for label in LABELS), each.probabilities, strict=True))
        rows.append({"post_key": post.key, "platform": post.platform, "native_id": post.native_id,
                     "text_sha256": post.text_sha256, "text": post.text, "posted_at": post.posted_at,
                     "model_sha256": model_sha256, "now": moment, **p})  # fmt: skip
    rows.sort(key=lambda r: str(r["post_key"]))  # whoever else writes posts does so in this order
    if not rows:
        return 0
    execute(conn, "sentiment/labels/lock_writers", {"lock": WRITERS})
    with conn.cursor() as cursor:
        for step in ("text", "post", "score"):
            cursor.executemany(statement(f"sentiment/labels/offer_{step}"), rows)
        return max(cursor.rowcount, 0)


def forget(conn: Connection, *, before: datetime) -> int:
    """Remove posts that were offered before that moment and that nobody has labelled; how many.

    Texts of people who were never asked about are not kept for longer than they are of use.
    """
    execute(conn, "sentiment/labels/lock_readers", {"lock": WRITERS})
    gone = execute(conn, "sentiment/labels/forget_posts", {"before": require_utc(before)}).fetchall()
    execute(conn, "sentiment/labels/delete_texts", {"texts": [r["text_sha256"] for r in gone]})
    return len(gone)


def _sample(settings: Queue) -> dict[str, Any]:
    """Which texts are drawn for a second label."""
    threshold = "g" if settings.second_share >= 1 else f"{int(settings.second_share * 2**32):08x}"
    return {"seed": settings.seed, "threshold": threshold}


def _doubt(settings: Queue) -> dict[str, Any]:
    return {"most_annotators": settings.most_annotators, "sure_from": settings.sure_from}


def _mixed(
    second: list[dict[str, Any]], rest: list[dict[str, Any]], settings: Queue, annotator: str
) -> list[dict[str, Any]]:
    """Both lists in one. Where a second label stands cannot be guessed, but depends on nothing else."""
    first = [r[0]["text_sha256"] for r in (second, rest) if r]
    chance = random.Random(digest([settings.seed, annotator, first]))  # noqa: S311 - no secret
    second, rest, mixed = list(second), list(rest), []
    while second or rest:
        from_second = bool(second) and (not rest or chance.random() < 1 / settings.every)
        mixed.append((second if from_second else rest).pop(0))
    return mixed
