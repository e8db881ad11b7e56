"""Whether recent posts still look like those before, feature by feature.

The figure is the population stability index of the shares p and q of two samples in some cells,

    PSI = sum of (p - q) ln(p / q),

with half a post added to each cell, so that an empty one can be counted with. A fixed limit such as 0.1 is
crossed by luck alone in small samples and misses much in large ones: without drift, PSI / (1 / n + 1 / m) is
about chi-squared distributed with as many degrees of freedom as cells less one (Yurdakul, "Statistical
Properties of Population Stability Index", Western Michigan University 2018). That does not hold for cells of
few posts, so the critical value is that of the permutation distribution itself: posts are dealt to the two
samples at random, 40,000 times, and PSI is looked at. For large samples the two agree. The features share the
rate of false alarms evenly (Bonferroni).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tidewatch.sentiment import LABELS
from tidewatch.sentiment.features import Rows, counts
from tidewatch.text.compiled import compiled
from tidewatch.text.normalise import code_points

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]

FALSE_ALARMS = 0.01
LEAST = 50
"""Posts on each side below which nothing is said."""
MOST = 50_000
"""Posts of a side that are looked at, drawn by lot: what is not seen in so many is too small to matter."""
DEALINGS = 40_000
_AT_ONCE = 4_000
_BITS = 20
_QUANTILES = 10
_PHRASES = 10
_SMALLEST = 5
"""Values with fewer posts than this share a cell."""


@dataclass(frozen=True)
class Drift:
    """One feature. `statistic`: PSI; `critical`: what it exceeds by luck alone as rarely as was asked for,
    with these numbers of posts on the two sides."""

    feature: str
    statistic: float
    critical: float
    n_before: int
    n_recent: int
    drifted: bool


def drifts(
    before: "pa.Table",
    recent: "pa.Table",
    *,
    false_alarms: float = FALSE_ALARMS,
    seed: int = 0,
    dealings: int = DEALINGS,
) -> list[Drift]:
    """Compare two tables of posts: `text`, and where both have it `label` (places in LABELS) and `platform`.

    Every post counts as one of its own: leave copies out beforehand. `false_alarms`: how probable it is at
    most that any feature drifts when none has. `dealings`: how often posts are dealt at random; fewer make
    the critical value less exact. The same tables and seed give the same figures. Empty when a side has fewer
    than 50 posts. Features, of which one that all posts share is left out:

    length, script, emoticons, label, platform
    new_ngrams  the share of a post's n-grams that one half of `before` did not have; the other is compared
    phrases     how many of the n-grams that rose or fell most between one half of `before` and one of
                `recent` a post of the other halves has
    """
    if min(before.num_rows, recent.num_rows) < LEAST:
        return []
    random = np.random.default_rng(seed)
    before, recent = _drawn(before, random), _drawn(recent, random)
    found = [f for f in _features(before, recent, random) if f.cells.max() > 0]
    level = false_alarms / max(len(found), 1)
    return [_judged(feature, level, random, dealings) for feature in found]


def _drawn(table: "pa.Table", random: np.random.Generator) -> "pa.Table":
    if table.num_rows <= MOST:
        return table
    return table.take(np.sort(random.choice(table.num_rows, MOST, replace=False)))


@dataclass(frozen=True)
class _Feature:
    """The cell of each post (from 0 on): first `n_before` posts of before, then the recent ones."""

    name: str
    cells: Array
    n_before: int


def _features(before: "pa.Table", recent: "pa.Table", random: np.random.Generator) -> Iterator[_Feature]:
    import pyarrow as pa

    n = before.num_rows
    texts = pa.chunked_array([*before["text"].chunks, *recent["text"].chunks], before["text"].type)
    length, script, bare = _looks(texts)
    yield _Feature("length", _quantiles(length), n)
    yield _Feature("script", _dense(script), n)
    removed = (length - bare) / np.maximum(length, 1)
    yield _Feature("emoticons", _dense(np.searchsorted([0.0, 0.1], removed, side="left")), n)
    rows = counts(texts, _BITS)
    first, kept = _halves(n, random)
    first_recent, kept_recent = (n + half for half in _halves(len(texts) - n, random))
    others = np.concatenate([kept, np.arange(n, len(texts))])
    unknown = _unknown(rows.ends, rows.columns, first, others, 1 << _BITS)
    yield _Feature("new_ngrams", _quantiles(unknown), len(kept))
    moved = _moved(rows, first, first_recent)
    having = _having(rows.ends, rows.columns, np.concatenate([kept, kept_recent]), moved)
    yield _Feature("phrases", _quantiles(having), len(kept))
    if "label" in before.column_names and "label" in recent.column_names:
        labels = np.concatenate([before["label"].to_numpy(), recent["label"].to_numpy()])
        yield _Feature("label", _dense(np.clip(labels, 0, len(LABELS))), n)
    if "platform" in before.column_names and "platform" in recent.column_names:
        names = [name or "" for side in (before, recent) for name in side["platform"].to_pylist()]
        yield _Feature("platform", _few_together(np.unique(names, return_inverse=True)[1]), n)


def _judged(feature: _Feature, level: float, random: np.random.Generator, dealings: int) -> Drift:
    size = int(feature.cells.max()) + 1
    total = np.bincount(feature.cells, minlength=size)
    own = np.bincount(feature.cells[: feature.n_before], minlength=size)
    statistic = float(_psi(own[None], (total - own)[None])[0])
    critical = _critical(total, feature.n_before, level, random, dealings)
    n_recent = len(feature.cells) - feature.n_before
    return Drift(feature.name, statistic, critical, feature.n_before, n_recent, statistic > critical)


def _critical(total: Array, n_before: int, level: float, random: np.random.Generator, dealings: int) -> float:
    """What PSI exceeds with a probability of `level` at most when these posts are dealt at random."""
    dealt = np.empty(dealings)
    for start in range(0, dealings, _AT_ONCE):
        size = min(_AT_ONCE, dealings - start)
        own = random.multivariate_hypergeometric(total, n_before, size=size, method="marginals")
        dealt[start : start + size] = _psi(own, total - own)
    # The k-th largest: an order statistic that is certain to be exceeded by no more than the level asks.
    beyond = max(int(level * (dealings + 1)), 1)
    return float(np.partition(dealt, dealings - beyond)[dealings - beyond])


def _psi(one: Array, two: Array) -> Array:
    """PSI of pairs of samples: counts, samples x cells."""
    cells = one.shape[1]
    p = (one + 0.5) / (one.sum(axis=1, keepdims=True) + 0.5 * cells)
    q = (two + 0.5) / (two.sum(axis=1, keepdims=True) + 0.5 * cells)
    # In whole steps: the last bits of a sum would make a share differ from itself dealt again.
    return np.asarray(np.round(((p - q) * np.log(p / q)).sum(axis=1), 12))


def _looks(texts: "pa.ChunkedArray") -> tuple[Array, Array, Array]:
    """Of each text its length in characters, its script (0 to 4), and its length without emoticons."""
    lengths, scripts, bare = [], [], []
    for _, points, ends in code_points(texts):
        lengths.append(np.diff(ends))
        scripts.append(_scripts(points, ends))
    for _, _, ends in code_points(texts, emoticons=False):
        bare.append(np.diff(ends))
    return np.concatenate(lengths), np.concatenate(scripts), np.concatenate(bare)


@compiled
def _scripts(points: Array, ends: Array) -> Array:
    """0: no letters; 1: Chinese characters only; 2: more of them than of others; 3: fewer; 4: none."""
    found: Array = np.zeros(ends.size - 1, np.int64)
    for row in range(ends.size - 1):
        han, other = 0, 0
        for at in range(ends[row], ends[row + 1]):
            point = points[at]
            if 0x3400 <= point <= 0x9FFF or 0x20000 <= point <= 0x323AF:
                han += 1
            elif 97 <= point <= 122 or 0xC0 <= point <= 0x1FFF or 0x3040 <= point <= 0x30FF:
                other += 1
        if han + other > 0:
            found[row] = 1 if other == 0 else 2 if han > other else 3 if han > 0 else 4
    return found


@compiled
def _unknown(ends: Array, columns: Array, known: Array, kept: Array, buckets: int) -> Array:
    """The share of the different n-grams of each row of `kept` that no row of `known` has."""
    seen: Array = np.zeros(buckets, np.bool_)
    for row in known:
        for at in range(ends[row], ends[row + 1]):
            seen[columns[at]] = True
    found: Array = np.zeros(kept.size)
    for number in range(kept.size):
        start, end = ends[kept[number]], ends[kept[number] + 1]
        new = 0
        for at in range(start, end):
            new += not seen[columns[at]]
        found[number] = new / max(end - start, 1)
    return found


def _halves(count: int, random: np.random.Generator) -> tuple[Array, Array]:
    places = random.permutation(count)
    return places[: count // 2], places[count // 2 :]


def _moved(rows: Rows, before: Array, recent: Array) -> Array:
    """For each bucket 1 where its n-grams are among those that rose most, -1 for those that fell, else 0.

    A two-sample test that looks in one half for what to look at in the other (Lopez-Paz and Oquab,
    "Revisiting Classifier Two-Sample Tests", ICLR 2017).
    """
    size = 1 << _BITS
    one, two = (_uses(rows.ends, rows.columns, places, size) for places in (before, recent))
    pooled = (one + two) / (len(before) + len(recent))
    spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / len(before) + 1 / len(recent)))
    rise = (two / len(recent) - one / len(before)) / spread
    ordered = np.lexsort((np.arange(size), np.round(rise, 9)))
    found = np.zeros(size, np.int8)
    found[ordered[-_PHRASES:]], found[ordered[:_PHRASES]] = 1, -1
    return found


@compiled
def _uses(ends: Array, columns: Array, which: Array, buckets: int) -> Array:
    """In how many of these rows each bucket occurs."""
    found: Array = np.zeros(buckets, np.int64)
    for row in which:
        for at in range(ends[row], ends[row + 1]):
            found[columns[at]] += 1
    return found


@compiled
def _having(ends: Array, columns: Array, which: Array, moved: Array) -> Array:
    """The sum of `moved` over the buckets of each of these rows."""
    found: Array = np.zeros(which.size, np.int64)
    for number in range(which.size):
        for at in range(ends[which[number]], ends[which[number] + 1]):
            found[number] += moved[columns[at]]
    return found


def _quantiles(values: Array) -> Array:
    """Cells with about as many of all posts each; equal values are in one."""
    edges = np.unique(np.quantile(values, np.arange(1, _QUANTILES) / _QUANTILES, method="lower"))
    return _dense(np.searchsorted(edges, values, side="left"))


def _few_together(cells: Array) -> Array:
    few = np.bincount(cells) < _SMALLEST
    return _dense(np.where(few[cells], -1, cells))


def _dense(cells: Array) -> Array:
    return np.asarray(np.unique(cells, return_inverse=True)[1])
