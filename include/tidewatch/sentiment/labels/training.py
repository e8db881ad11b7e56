"""The labels that a model is trained on: one row a text, weighed, frozen, with a digest of the content."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from psycopg.types.json import Jsonb

from tidewatch.core.canonical import digest
from tidewatch.core.clock import iso, require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.evidence import ledger
from tidewatch.evidence.schemas import LabelsFrozen
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.labels.dawid_skene import Fit, fit, posterior
from tidewatch.sentiment.labels.mapping import Reliability
from tidewatch.sentiment.labels.store import WRITERS
from tidewatch.sentiment.labels.votes import Current, current

if TYPE_CHECKING:
    import pyarrow as pa

_FORMAT = "tidewatch.training-set.v1"
_DECIMALS = 6
_ORIGINS = ("console", "label_studio", "import", "seed")
"""The first of them that labelled a text is its origin: people before files before corpora."""


@dataclass(frozen=True)
class Annotator:
    """How far one annotator was believed. `recall`: how probable it is that a text of each class (in the
    order of LABELS) is called so; `overlap`: texts that others labelled too, on which that rests."""

    name: str
    labels: int
    overlap: int
    recall: tuple[float, ...]
    confusion: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class TrainingSet:
    """Labels to train on.

    `table`: text (string), label (int8, place in LABELS), weight (float32, 0 to 1: the probability of the
    label), text_sha256, platform, posted_at (UTC; null where nobody knows), origin (console, label_studio,
    import or seed), annotators (int16). Sorted by text_sha256: the same content has the same rows in the same
    order and the same `digest`, whenever and in whatever order it came in. `up_to`: the newest label that was
    looked at. `left_out`: texts by reason.
    """

    table: "pa.Table"
    digest: str
    up_to: int
    annotators: tuple[Annotator, ...]
    left_out: dict[str, int]
    fitted_on: int
    """Texts with two annotators: what the reliabilities rest on."""
    reliability: Reliability

    @property
    def labels(self) -> dict[str, int]:
        """Rows by label; a class without any is there with 0."""
        counts = np.bincount(self.table["label"].to_numpy(), minlength=len(LABELS))
        return {name: int(n) for name, n in zip(LABELS, counts, strict=True)}

    def summary(self) -> dict[str, Any]:
        """Counts, parameters and reliabilities as JSON; nothing of a text."""
        return {
            "labels": self.labels,
            "origins": dict(sorted(Counter(self.table["origin"].to_pylist()).items())),
            "left_out": self.left_out,
            "fitted_on": self.fitted_on,
            "reliability": self.reliability.model_dump(mode="json"),
            "annotators": [
                {
                    "name": a.name,
                    "labels": a.labels,
                    "overlap": a.overlap,
                    "recall": [round(r, _DECIMALS) for r in a.recall],
                    "confusion": [[round(c, _DECIMALS) for c in row] for row in a.confusion],
                }
                for a in self.annotators
            ],
        }


def training_set(
    conn: Connection, *, now: datetime, reliability: Reliability | None = None, up_to: int | None = None
) -> TrainingSet:
    """The labels as they stand, one row a text, weighed by how far their annotators are believed.

    The newest word of each annotator counts. Where several annotators labelled a text, the label is the most
    probable one after Dawid and Skene; a text whose label is less probable than `undecided_below`, or that
    two labels share, is left out. Classes are taken as equally frequent when labels are weighed against each
    other: texts with two annotators were chosen because people differ.

    What was recorded until `now` is in it. `up_to`: a version of the past, of labels up to that one; a post
    that was deleted since is not in it, and the digest is then another. Raises ValueError for a naive `now`.
    """
    reliability = reliability or Reliability()
    moment = require_utc(now)
    with conn.transaction():
        # Who writes labels now is waited for: afterwards nothing below `last` is still to come.
        execute(conn, "sentiment/labels/lock_readers", {"lock": WRITERS})
        row = execute(conn, "sentiment/labels/last_label", {"now": moment}).fetchone()
        last = int(row["last"]) if row else 0
        last = last if up_to is None else min(up_to, last)
        words = current(conn, up_to=last)
        posts = execute(conn, "sentiment/labels/training_posts", {"up_to": last}).fetchall()
    return _build(words, posts, reliability, last)


def freeze(conn: Connection, *, now: datetime, reliability: Reliability | None = None) -> TrainingSet:
    """`training_set`, recorded: its digest, counts and reliabilities stand in sentiment.data_versions and in
    the ledger. The same content again is the same version. Raises LedgerBusy."""
    moment = require_utc(now)
    with conn.transaction():
        frozen = training_set(conn, now=moment, reliability=reliability)
        values = {
            "digest": frozen.digest,
            "up_to": frozen.up_to,
            "rows": frozen.table.num_rows,
            "now": moment,
        }
        added = execute(
            conn, "sentiment/labels/version_add", {**values, "summary": Jsonb(frozen.summary())}
        ).fetchone()
        if added is not None:
            body = LabelsFrozen(
                digest=frozen.digest,
                up_to=frozen.up_to,
                rows=frozen.table.num_rows,
                labels=frozen.labels,
                annotators=len(frozen.annotators),
                frozen_at=moment,
            )
            ledger.append(conn, kind=body.KIND, subject=frozen.digest, body=body, now=moment)
    return frozen


def reliabilities(conn: Connection, reliability: Reliability | None = None) -> tuple[Annotator, ...]:
    """How far each annotator is believed now, by name."""
    settings = reliability or Reliability()
    words = current(conn)
    return _annotators(words, fit(words.votes, correct=settings.correct, wrong=settings.wrong))


def _build(words: Current, posts: list[dict[str, Any]], reliability: Reliability, up_to: int) -> TrainingSet:
    import pyarrow as pa

    fitted = fit(words.votes, correct=reliability.correct, wrong=reliability.wrong)
    label, weight, decided = _decide(words, fitted, reliability.undecided_below)
    by_hash = {p["text_sha256"]: p for p in posts}
    kept = [n for n in range(len(words.texts)) if decided[n]]
    given = np.bincount(words.votes.text, minlength=words.votes.texts)
    origins = _origins(words)
    rows = [by_hash[words.texts[n]] for n in kept]
    table = pa.table(
        {
            "text": pa.array([r["text"] for r in rows], pa.string()),
            "label": pa.array(label[kept].astype(np.int8), pa.int8()),
            "weight": pa.array(weight[kept].astype(np.float32), pa.float32()),
            "text_sha256": pa.array([r["text_sha256"] for r in rows], pa.string()),
            "platform": pa.array([r["platform"] for r in rows], pa.string()),
            "posted_at": pa.array([r["posted_at"] for r in rows], pa.timestamp("us", tz="UTC")),
            "origin": pa.array([origins[n] for n in kept], pa.string()),
            "annotators": pa.array(given[kept].astype(np.int16), pa.int16()),
        }
    )
    left_out = {
        "undecided": int((~decided).sum()),
        "without_a_class": len(posts) - len(words.texts),
        "contradictory_labels": words.contradictory,
    }
    return TrainingSet(
        table, _digest(table), up_to, _annotators(words, fitted), left_out, fitted.texts, reliability
    )


def _decide(
    words: Current, fitted: Fit, below: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Label, its probability (rounded, so that the last bits of a processor decide nothing), and whether it
    is one."""
    if not words.texts:
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.bool_)
    even = np.full(len(LABELS), 1 / len(LABELS))
    chances = np.round(posterior(words.votes, fitted.confusion, even), _DECIMALS)
    ordered = np.sort(chances, axis=1)
    return (
        chances.argmax(axis=1),
        ordered[:, -1],
        (ordered[:, -1] >= below) & (ordered[:, -1] > ordered[:, -2]),
    )


def _origins(words: Current) -> list[str]:
    best = np.full(len(words.texts), len(_ORIGINS), dtype=np.int64)
    places = np.array([_ORIGINS.index(s) for s in words.sources], dtype=np.int64)
    np.minimum.at(best, words.votes.text, places)
    return [_ORIGINS[n] for n in best]


def _annotators(words: Current, fitted: Fit) -> tuple[Annotator, ...]:
    votes = words.votes
    shared = np.bincount(votes.text, minlength=votes.texts) >= 2
    given = np.bincount(votes.annotator, minlength=votes.annotators)
    overlap = np.bincount(votes.annotator[shared[votes.text]], minlength=votes.annotators)
    return tuple(
        Annotator(
            name,
            int(given[n]),
            int(overlap[n]),
            tuple(fitted.confusion[n].diagonal().tolist()),
            tuple(tuple(row) for row in fitted.confusion[n].tolist()),
        )
        for n, name in enumerate(words.annotators)
    )


def _digest(table: "pa.Table") -> str:
    """SHA-256 of the content: RFC 8785 of a list of rows. Weights count to six decimals; `text` is there as
    its SHA-256; names of annotators and times of labels are not part of it."""
    columns = [
        table[c].to_pylist() for c in ("text_sha256", "label", "weight", "platform", "posted_at", "origin")
    ]
    rows = (
        [sha, LABELS[label], f"{weight:.{_DECIMALS}f}", platform, None if at is None else iso(at), origin]
        for sha, label, weight, platform, at, origin in zip(*columns, strict=True)
    )
    return digest({"format": _FORMAT, "rows": rows})
