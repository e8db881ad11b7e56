"""Champion and challenger on the same held-out posts: figures with intervals, what luck alone would do, the
speed, and a sample of the posts on which the two differ."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from tidewatch.sentiment import LABELS
from tidewatch.sentiment.evaluate import BINS, answers, figures

if TYPE_CHECKING:
    from tidewatch.sentiment.evaluate import Evaluation, Scorer
    from tidewatch.text.arrays import Texts

Array = np.ndarray[Any, Any]

DRAWS = 400
_AT_ONCE = 2_000_000
"""Posts times draws that are simulated at once: some 50 MB."""


@dataclass(frozen=True)
class Answers:
    """What a model says of n posts, with emoticons and without: labels (int8), probabilities (n x 3)."""

    labels: Array
    chances: Array
    bare_labels: Array
    bare_chances: Array

    def of(self, which: Array) -> "Answers":
        """Of the posts numbered `which` only."""
        return Answers(
            self.labels[which], self.chances[which], self.bare_labels[which], self.bare_chances[which]
        )


@dataclass(frozen=True)
class Difference:
    """A post that two models label differently; its place in the posts, labels as places in LABELS."""

    index: int
    truth: int
    champion_says: int
    challenger_says: int


def ask(model: "Scorer", texts: "Texts") -> Answers:
    """Score the posts once with their emoticons, once without."""
    return Answers(*answers(model.score(texts)), *answers(model.score(texts, emoticons=False)))


def evaluation(said: Answers, truth: Array) -> "Evaluation":
    """Figures of a model on posts whose labels are known (at least one), as `evaluate` gives them."""
    whole = figures(said.labels, said.chances, truth)
    return replace(whole, emoticons_removed=figures(said.bare_labels, said.bare_chances, truth))


def calibration_by_luck(said: Answers, *, seed: int, level: float = 0.95) -> float:
    """The calibration error that a model whose probabilities are exactly right stays below with probability
    `level`, on so many posts with these probabilities.

    An error of few posts is large by luck alone. Consistency resampling (Broecker and Smith, "Increasing the
    Reliability of Reliability Diagrams", 2007): labels are drawn from the probabilities themselves, DRAWS
    times, and the error is measured as in `evaluate.reliability`.
    """
    own = np.sort(said.chances[np.arange(len(said.labels)), said.labels])
    # Sorted, a bin is a run of posts, and its sum a difference.
    begins = np.unique(np.minimum((own * BINS).astype(np.int64), BINS - 1), return_index=True)[1]
    expected = np.add.reduceat(own, begins)
    random = np.random.default_rng(seed)
    errors: list[Array] = []
    left = DRAWS
    while left:
        count = min(left, max(1, _AT_ONCE // len(own)))
        right = random.random((count, len(own))) < own
        hits = np.add.reduceat(right, begins, axis=1, dtype=np.int64)
        errors.append(np.abs(hits - expected).sum(axis=1) / len(own))
        left -= count
    return float(np.quantile(np.concatenate(errors), level))


def speed(
    model: "Scorer", texts: list[str], *, posts: int, repeats: int, timer: Callable[[], float]
) -> dict[str, Any]:
    """Posts a second, median of `repeats`: at least `posts` posts, the given ones over and over, in one call.

    `timer` gives seconds. The first call, which may compile, is not counted. One core: scoring is one thread.
    """
    import pyarrow as pa

    many = pa.array((texts * (posts // len(texts) + 1))[: max(posts, len(texts))], pa.large_string())
    model.score(texts[:100])
    seconds = []
    for _ in range(repeats):
        begun = timer()
        model.score(many)
        seconds.append(max(timer() - begun, 1e-9))
    return {
        "posts_per_second": round(len(many) / median(seconds), 1),
        "slowest": round(len(many) / max(seconds), 1),
        "posts": len(many),
        "repeats": repeats,
    }


def differing(
    champion: Array, challenger: Array, truth: Array, names: list[str], *, draw: str, most: int
) -> list[Difference]:
    """At most `most` of the posts that two models label differently, drawn by hash of `draw` and the name of
    the post, so that the same draw is the same sample. Those that one of the two got right come first."""
    found = [int(index) for index in np.flatnonzero(champion != challenger)]

    def order(index: int) -> tuple[bool, str]:
        neither = truth[index] not in (champion[index], challenger[index])
        return neither, sha256(f"{draw}\n{names[index]}".encode()).hexdigest()

    return [
        Difference(index, int(truth[index]), int(champion[index]), int(challenger[index]))
        for index in sorted(found, key=order)[:most]
    ]


def union(sets: Iterable[Array]) -> Array:
    """The posts of all sets, each once, in order."""
    return np.unique(np.concatenate([np.zeros(0, np.int64), *sets])).astype(np.int64)


def headline(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The few numbers of an evaluation (its JSON) that a question to a person shows."""
    bare = figures["emoticons_removed"]
    return {
        "n": figures["n"],
        "accuracy": figures["accuracy"],
        "macro_f1": figures["macro_f1"],
        "ece": figures["ece"],
        "without_emoticons": bare["accuracy"] if bare else None,
        "recall": {label: figures["classes"][place]["recall"] for place, label in enumerate(LABELS)},
    }
