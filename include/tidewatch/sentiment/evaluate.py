"""What a model is worth on posts whose labels are known: figures with their intervals and their n.

Intervals of shares are Wilson's at 95 % (Wilson 1927; `scipy.stats.binomtest`). The calibration error is that
of Naeini et al. 2015 for the label given: in each of 15 bins of equal width, the distance between mean
probability and share of right answers, weighted by the bin's posts. Two models on the same posts are compared
with McNemar's exact test.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tidewatch.core.errors import ConfigError
from tidewatch.sentiment import LABELS

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewatch.text.arrays import Texts

Array = np.ndarray[Any, Any]
BINS = 15
CONFIDENCE = 0.95


class Scorer(Protocol):
    """Whatever gives labels and probabilities for texts: our model, or one beside it."""

    def score(self, texts: "Texts", *, emoticons: bool = True) -> "pa.Table": ...


@dataclass(frozen=True)
class Share:
    """A share that rests on n cases, with its interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class OfClass:
    """One class: how many of it were found (recall), how many called so are (precision)."""

    label: str
    recall: Share | None  # None: no such post
    precision: Share | None  # None: nothing was called so
    f1: float


@dataclass(frozen=True)
class Bin:
    """Posts whose label has a probability between `low` and `high`."""

    low: float
    high: float
    n: int
    probability: float  # mean
    accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """How a model did on n labelled posts. `as_dict` is JSON."""

    n: int
    accuracy: Share
    macro_f1: float  # over the classes that occur
    classes: tuple[OfClass, ...]
    confusion: tuple[tuple[int, ...], ...]  # row: the true label, column: the label given
    ece: float
    log_loss: float
    reliability: tuple[Bin, ...]
    emoticons_removed: "Evaluation | None" = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON gives them back."""
        return dict(json.loads(json.dumps(asdict(self))))


def recorded(metrics: object, name: str = "held_out") -> dict[str, Any] | None:
    """The evaluation of this name among the metrics of a version (JSON), None where there is none that can be
    shown: whoever writes a version's row or file by hand may have left it out."""
    from pydantic import TypeAdapter, ValidationError

    found = metrics.get(name) if isinstance(metrics, Mapping) else None
    try:
        read = TypeAdapter(Evaluation).validate_python(found)
    except ValidationError:
        return None
    same = [one.label for one in read.classes] == list(LABELS)
    square = [len(row) for row in read.confusion] == [len(LABELS)] * len(LABELS)
    return found if same and square else None


@dataclass(frozen=True)
class Paired:
    """Two models on the same posts: b and c are the posts that only one of them got right."""

    n: int
    only_first: int
    only_second: int
    difference: float  # accuracy of the second less that of the first
    low: float
    high: float
    p_value: float


def evaluate(
    model: Scorer, texts: "Texts", labels: Array | Sequence[int], *, emoticons: bool = True
) -> Evaluation:
    """Score the texts, with their emoticons and without, and compare with the labels (int, 0 to 2).

    Raises ConfigError when there is nothing to compare or a label is none.
    """
    truth = checked(labels)
    whole = figures(*answers(model.score(texts)), truth)
    if not emoticons:
        return whole
    removed = figures(*answers(model.score(texts, emoticons=False)), truth)
    return Evaluation(**{**_fields(whole), "emoticons_removed": removed})


def checked(labels: Array | Sequence[int]) -> Array:
    """Labels as int8. Raises ConfigError for none at all, or one that is no label."""
    given = np.asarray(labels)
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "iu":
        found = "none" if given.size == 0 else f"{given.dtype} with {given.ndim} dimensions"
        raise _no_labels(found)
    if given.min() < 0 or given.max() >= len(LABELS):
        raise _no_labels(f"a label {given.min() if given.min() < 0 else given.max()}")
    return given.astype(np.int8)


def answers(table: "pa.Table") -> tuple[Array, Array]:
    """Labels (int8) and probabilities (float64, n x 3) of a table that `score` gave."""
    chances = np.stack([table[f"p_{name}"].to_numpy().astype(np.float64) for name in LABELS], axis=1)
    return table["label"].to_numpy(), chances


def paired(first: Array, second: Array, truth: Array) -> Paired:
    """Compare the labels of two models on the same posts (int arrays of one length).

    The interval of the difference is that of paired shares after Agresti and Min (2005): Wald's with half a
    post added to each of the four cells.
    """
    from scipy.stats import binomtest, norm

    only_first = int(((first == truth) & (second != truth)).sum())
    only_second = int(((second == truth) & (first != truth)).sum())
    n = len(truth)
    b, c, total = only_first + 0.5, only_second + 0.5, n + 2.0
    middle = (c - b) / total
    half = norm.ppf(0.5 + CONFIDENCE / 2) * np.sqrt((b + c) - (c - b) ** 2 / total) / total
    p_value = binomtest(only_second, only_first + only_second).pvalue if only_first + only_second else 1.0
    return Paired(
        n, only_first, only_second, (only_second - only_first) / n,
        float(middle - half), float(middle + half), float(p_value),
    )  # fmt: skip


def share(hits: int, n: int) -> Share:
    """hits of n, with Wilson's interval; n > 0."""
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return Share(hits / n, float(interval.low), float(interval.high), n)


def figures(given: Array, chances: Array, truth: Array) -> Evaluation:
    """Compare labels given and their probabilities (n x 3) with the true labels."""
    if len(given) != len(truth):
        raise _no_labels(f"{len(truth)} labels for {len(given)} texts")
    confusion = np.zeros((len(LABELS), len(LABELS)), np.int64)
    np.add.at(confusion, (truth, given), 1)
    classes = tuple(_class(number, confusion) for number in range(len(LABELS)))
    present = [one.f1 for one in classes if one.recall is not None]
    bins, error = reliability(chances[np.arange(len(given)), given], given == truth)
    own = np.clip(chances[np.arange(len(truth)), truth], 1e-12, 1)
    return Evaluation(
        n=len(truth),
        accuracy=share(int(confusion.trace()), len(truth)),
        macro_f1=sum(present) / len(present),
        classes=classes,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        ece=error,
        log_loss=float(-np.log(own).mean()),
        reliability=bins,
    )


def _class(number: int, confusion: Array) -> OfClass:
    hits, there, called = (
        int(confusion[number, number]),
        int(confusion[number].sum()),
        int(confusion[:, number].sum()),
    )
    return OfClass(
        LABELS[number],
        recall=share(hits, there) if there else None,
        precision=share(hits, called) if called else None,
        f1=2 * hits / (there + called) if there + called else 0.0,
    )


def reliability(chances: Array, right: Array) -> tuple[tuple[Bin, ...], float]:
    """The bins and the calibration error of labels with these probabilities; right: bool, same length."""
    places = np.minimum((chances * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for number in range(BINS):
        inside = places == number
        count = int(inside.sum())
        if count:
            mean, accuracy = float(chances[inside].mean()), float(right[inside].mean())
            bins.append(Bin(number / BINS, (number + 1) / BINS, count, mean, accuracy))
            error += count / len(chances) * abs(mean - accuracy)
    return tuple(bins), error


def _fields(whole: Evaluation) -> dict[str, Any]:
    return {name: getattr(whole, name) for name in whole.__dataclass_fields__}


def _no_labels(found: str) -> ConfigError:
    return ConfigError(
        "The model cannot be evaluated on this",
        expected=f"one label for each text, 0 to {len(LABELS) - 1} for {', '.join(LABELS)}",
        found=found,
        do="correct the labels of the file",
    )
