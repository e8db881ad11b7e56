"""The labels that count now, as arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewatch.core.database import Connection, execute
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.labels.agreement import Agreement, measure
from tidewatch.sentiment.labels.dawid_skene import Votes

SEED = 20261122
"""Of the bootstrap of the agreement: any number, but always the same, so that all show one interval."""
_CODE = {label: code for code, label in enumerate(LABELS)}


@dataclass(frozen=True)
class Current:
    """One entry a text and annotator: `votes` of those that name a class. Texts (`text_sha256`) and
    annotators are sorted, so that nothing depends on when labels came in.

    `unclear`: texts and annotators where the newest word is that nobody can tell; `contradictory`: where an
    annotator said two things at one moment. Neither is in `votes`.
    """

    texts: tuple[str, ...]
    annotators: tuple[str, ...]
    votes: Votes
    sources: tuple[str, ...]
    """Of each vote: seed, import, label_studio or console."""
    unclear: int
    contradictory: int

    def grid(self) -> npt.NDArray[np.int8]:
        """Texts with two labels at least x annotators; -1 where there is none."""
        enough = np.bincount(self.votes.text, minlength=self.votes.texts) >= 2
        kept = enough[self.votes.text]
        place = np.cumsum(enough) - 1
        grid = np.full((int(enough.sum()), self.votes.annotators), -1, dtype=np.int8)
        grid[place[self.votes.text[kept]], self.votes.annotator[kept]] = self.votes.label[kept]
        return grid


def current(conn: Connection, *, up_to: int | None = None, sample_only: bool = False) -> Current:
    """What every annotator says now, or said when `up_to` was the newest label.

    `sample_only`: the texts that a second person labelled blind because they were drawn for it, without the
    labels that were asked for because people or the model differed.
    """
    rows = execute(conn, "sentiment/labels/votes", {"up_to": up_to, "sample_only": sample_only}).fetchall()
    # Sorted here: the order of a database depends on its collation, and sums of floats on their order.
    rows.sort(key=lambda r: (r["text_sha256"], r["annotator"]))
    kept = [r for r in rows if r["label"] in _CODE]
    texts = tuple(dict.fromkeys(r["text_sha256"] for r in kept))
    annotators = tuple(sorted({r["annotator"] for r in kept}))
    place_of_text = {t: n for n, t in enumerate(texts)}
    place_of_annotator = {a: n for n, a in enumerate(annotators)}
    votes = Votes(
        np.array([place_of_text[r["text_sha256"]] for r in kept], dtype=np.int64),
        np.array([place_of_annotator[r["annotator"]] for r in kept], dtype=np.int64),
        np.array([_CODE[r["label"]] for r in kept], dtype=np.int64),
        len(texts),
        len(annotators),
        len(LABELS),
    )
    others = [r["label"] for r in rows if r["label"] not in _CODE]
    return Current(
        texts,
        annotators,
        votes,
        tuple(r["source"] for r in kept),
        others.count("unclear"),
        others.count("contradictory"),
    )


def agreement(
    conn: Connection, *, seed: int, draws: int = 2000, sample_only: bool = False, up_to: int | None = None
) -> Agreement:
    """How far the annotators of the store agree.

    `sample_only` is what to judge by: other texts have two labels because they are difficult.
    """
    now = current(conn, up_to=up_to, sample_only=sample_only)
    return measure(now.grid(), now.annotators, classes=len(LABELS), seed=seed, draws=draws)
