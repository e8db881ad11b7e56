"""How far annotators agree, beyond what chance would give: Krippendorff's alpha and Cohen's kappa.

Intervals are percentiles of a bootstrap over texts (Zapf et al., BMC Medical Research Methodology 16:93,
2016, recommend it for alpha). All texts on which the same labels were given are one pattern, so that a
resample is one multinomial draw: exact, and as fast for a million texts as for a hundred.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Metric = Literal["nominal", "ordinal"]

_LEVEL = 0.95
ONE_ANNOTATOR = (
    "no text has labels of two annotators: let a second person label a sample (the labelling page does)"
)
ONE_LABEL = "everybody gave the same label everywhere: nothing can be told from chance"


@dataclass(frozen=True)
class Figure:
    """A coefficient with its 95 % bootstrap interval and the number of texts it rests on.

    None where it is not defined; `why` then says why. An interval needs 20 texts at least.
    """

    value: float | None
    low: float | None
    high: float | None
    texts: int
    why: str | None = None


@dataclass(frozen=True)
class Pair:
    """Two annotators on the texts that both labelled. `agreed`: share of equal labels."""

    first: str
    second: str
    texts: int
    agreed: float
    kappa: Figure


@dataclass(frozen=True)
class Agreement:
    """All annotators together, and pair by pair. `texts`: those with labels of two annotators at least."""

    annotators: tuple[str, ...]
    texts: int
    nominal: Figure
    """Labels are equal or not."""
    ordinal: Figure
    """Negative and positive lie farther apart than either and neutral."""
    pairs: tuple[Pair, ...]


_FEWEST = 20


def measure(
    votes: npt.NDArray[np.int8], annotators: tuple[str, ...], *, classes: int, seed: int, draws: int = 2000
) -> Agreement:
    """`votes`: one row a text, one column an annotator; a class from 0 on, or -1 for none. The order of the
    rows does not matter. The same input gives the same intervals."""
    counts = _counts(votes, classes)
    return Agreement(
        annotators,
        int((counts.sum(axis=1) >= 2).sum()),
        _alpha_figure(counts, "nominal", seed, draws),
        _alpha_figure(counts, "ordinal", seed, draws),
        tuple(
            _pair(votes[:, [a, b]], annotators[a], annotators[b], classes, seed, draws)
            for a, b in combinations(range(len(annotators)), 2)
            if ((votes[:, a] >= 0) & (votes[:, b] >= 0)).any()
        ),
    )


def alpha(counts: Ints, metric: Metric = "nominal") -> float | None:
    """Krippendorff's alpha of `counts` (texts x classes: how often each label was given); None where it is
    not defined. Krippendorff, Content Analysis, 3rd ed. 2013, section 12.3: 1 - D_o / D_e on coincidences."""
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return None
    value = _alpha(_coincidences(counts).sum(axis=0)[None], metric)[0]
    return None if np.isnan(value) else float(value)


def kappa(table: npt.NDArray[np.int64]) -> float | None:
    """Cohen's kappa of a table (labels of one annotator x labels of the other); None where it is not defined.
    Cohen, Educational and Psychological Measurement 20:37-46, 1960."""
    if not table.sum():
        return None
    value = _kappa(table[None].astype(np.float64))[0]
    return None if np.isnan(value) else float(value)


def _alpha_figure(counts: Ints, metric: Metric, seed: int, draws: int) -> Figure:
    counts = counts[counts.sum(axis=1) >= 2]
    value = alpha(counts, metric)
    if value is None:
        return Figure(None, None, None, len(counts), ONE_LABEL if len(counts) else ONE_ANNOTATOR)
    patterns, times = np.unique(counts, axis=0, return_counts=True)
    each = _coincidences(patterns)

    def coefficient(drawn: Floats) -> Floats:
        return _alpha(np.tensordot(drawn, each, axes=1), metric)

    return Figure(value, *_interval(times, coefficient, seed, draws), len(counts))


def _pair(votes: npt.NDArray[np.int8], a: str, b: str, classes: int, seed: int, draws: int) -> Pair:
    both = votes[(votes >= 0).all(axis=1)].astype(np.int64)
    table = np.bincount(both[:, 0] * classes + both[:, 1], minlength=classes**2).reshape(classes, classes)
    value, n = kappa(table), len(both)

    def coefficient(drawn: Floats) -> Floats:
        return _kappa(drawn.reshape(-1, classes, classes))

    if value is None:
        figure = Figure(None, None, None, n, ONE_LABEL)
    else:
        figure = Figure(value, *_interval(table.ravel(), coefficient, seed, draws), n)
    return Pair(a, b, n, float(np.trace(table) / n), figure)


def _interval(
    times: npt.NDArray[np.int64], coefficient: Callable[[Floats], Floats], seed: int, draws: int
) -> tuple[float | None, float | None]:
    n = int(times.sum())
    if n < _FEWEST:
        return None, None
    drawn = np.random.default_rng(seed).multinomial(n, times / n, size=draws).astype(np.float64)
    values = coefficient(drawn)
    values = values[~np.isnan(values)]  # draws in which everybody says the same
    if len(values) < draws / 2:
        return None, None
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _counts(votes: npt.NDArray[np.int8], classes: int) -> Ints:
    return np.stack([(votes == c).sum(axis=1) for c in range(classes)], axis=1).astype(np.int64)


def _coincidences(counts: Ints) -> Floats:
    """For each text the matrix of its pairs of labels, each label weighing 1 (texts x classes x classes)."""
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(
        counts.shape[1], dtype=np.int64
    )
    result: Floats = pairs / (counts.sum(axis=1) - 1)[:, None, None]
    return result


def _alpha(coincidences: Floats, metric: Metric) -> Floats:
    """Of a stack of coincidence matrices; NaN where only one label occurs."""
    totals = coincidences.sum(axis=2)
    n = totals.sum(axis=1)
    distance = _distances(totals, metric)
    observed = (coincidences * distance).sum(axis=(1, 2)) / n
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = 1 - observed * n * (n - 1) / expected
    result[expected <= 0] = np.nan
    return result


def _distances(totals: Floats, metric: Metric) -> Floats:
    """Squared differences of labels, per matrix: 1 for different ones, or by how many lie between them."""
    classes = totals.shape[1]
    if metric == "nominal":
        return np.broadcast_to(1 - np.eye(classes), (len(totals), classes, classes))
    upto = np.cumsum(totals, axis=1)
    middle = upto - totals / 2
    result: Floats = (middle[:, :, None] - middle[:, None, :]) ** 2
    return result


def _kappa(tables: Floats) -> Floats:
    """Of a stack of tables; NaN where chance alone would agree everywhere."""
    n = tables.sum(axis=(1, 2))
    agreed = np.trace(tables, axis1=1, axis2=2) / n
    by_chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / n**2
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = (agreed - by_chance) / (1 - by_chance)
    result[by_chance >= 1 - 1e-12] = np.nan
    return result
