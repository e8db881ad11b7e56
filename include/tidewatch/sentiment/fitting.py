"""Fit linear classifiers to counted n-grams: each class against the others, n-grams scaled in three ways.

A text is the vector of how often its known n-grams occur over the square root of their number (n-grams in at
least two texts are known). Scaled by rarity (inverse document frequency), not at all, and by how differently
the class and the others use them (log-count ratio: Wang and Manning, "Baselines and Bigrams", ACL 2012), the
same support vector machine makes different mistakes; `tidewatch.sentiment.calibrate` weighs the three.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from tidewatch.sentiment.features import Rows
from tidewatch.sentiment.solver import separate
from tidewatch.text.compiled import compiled

Array = np.ndarray[Any, Any]

SCALINGS = ("rarity", "plain", "ratio")
COST = 1.0
ROUNDS = 15
TOLERANCE = 0.05
FEWEST = 2
"""An n-gram of fewer texts is not known: nothing can be learned from it that would help another text."""


class Fitted(NamedTuple):
    """Weights of every bucket (float32, classifiers x classes x buckets; 0 for unknown ones), intercepts
    (classifiers x classes), and which buckets are known (bool)."""

    weights: Array
    intercepts: Array
    known: Array


class Chosen(NamedTuple):
    """Some rows with their known columns renumbered and their values divided by the root of their sum."""

    ends: Array
    columns: Array
    values: Array


def fit(
    rows: Rows,
    which: Array,
    labels: Array,
    trust: Array,
    classes: int,
    buckets: int,
    seed: int,
    cost: float = COST,
) -> Fitted:
    """Classifiers for the rows numbered `which`. labels: int64, 0 to classes - 1, and trust: float64, both of
    those rows; an error costs `cost` times the row's trust. The same rows and seed give the same weights, on
    any number of cores."""
    uses = _uses(rows.ends, rows.columns, which, labels, classes, buckets)
    known = uses.sum(axis=0) >= FEWEST
    places = np.where(known, np.cumsum(known) - 1, -1).astype(np.int32)
    chosen = Chosen(*choose(*rows, which, places))
    uses = uses[:, known]
    width = int(known.sum())
    one_for_two = classes == 2
    jobs = [
        (member, label)
        for member in range(len(SCALINGS))
        for label in range(1 if one_for_two else 0, classes)
    ]

    def job(of: tuple[int, int]) -> Array:
        member, label = of
        scales = _scales(SCALINGS[member], uses, label, len(which))
        signs = np.where(labels == label, 1.0, -1.0)
        return _scaled(
            chosen,
            scales,
            lambda values: separate(
                chosen.ends, chosen.columns, values, signs, trust * cost, width, ROUNDS, TOLERANCE, seed
            ),
        )

    weights = np.zeros((len(SCALINGS), classes, buckets), np.float32)
    intercepts = np.zeros((len(SCALINGS), classes))
    with ThreadPoolExecutor(min(len(jobs), os.cpu_count() or 1)) as pool:
        for (member, label), found in zip(jobs, pool.map(job, jobs), strict=True):
            weights[member, label, known] = found[:-1]
            intercepts[member, label] = found[-1]
    if one_for_two:  # what speaks for one speaks against the other
        weights[:, 0], intercepts[:, 0] = -weights[:, 1], -intercepts[:, 1]
    return Fitted(weights, intercepts, known)


def scores_of(rows: Rows, which: Array, fitted: Fitted) -> Array:
    """Scores (float64, rows x classifiers x classes) of the rows numbered `which`."""
    from scipy.sparse import csr_array

    members, classes, buckets = fitted.weights.shape
    places = np.where(fitted.known, np.arange(buckets), -1).astype(np.int32)
    chosen = Chosen(*choose(*rows, which, places))
    matrix = csr_array((chosen.values, chosen.columns, chosen.ends), shape=(len(which), buckets))
    found = matrix @ fitted.weights.reshape(members * classes, buckets).T
    return np.asarray(found, np.float64).reshape(-1, members, classes) + fitted.intercepts


def _scales(scaling: str, uses: Array, label: int, texts: int) -> Array:
    if scaling == "rarity":
        return np.asarray(np.log((1 + texts) / (1 + uses.sum(axis=0))) + 1)
    if scaling == "plain":
        return np.ones(uses.shape[1])
    own = uses[label] + 1.0
    others = uses.sum(axis=0) - uses[label] + 1.0
    return np.asarray(np.abs(np.log((own / own.sum()) / (others / others.sum()))))


def _scaled(chosen: Chosen, scales: Array, solve: Callable[[Array], Array]) -> Array:
    """Solve with columns scaled, to rows whose squares sum to 1 in the mean; weights for unscaled rows."""
    values = chosen.values * scales.astype(np.float32)[chosen.columns]
    rows = len(chosen.ends) - 1
    length = np.sqrt(max(np.square(values, dtype=np.float64).sum(), 1e-12) / rows)
    found = solve((values / np.float32(length)).astype(np.float32))
    found[:-1] *= scales / length
    return found


@compiled
def _uses(ends: Array, columns: Array, which: Array, labels: Array, classes: int, buckets: int) -> Array:
    """In how many of the rows of each class a bucket occurs: int32, classes x buckets."""
    uses = np.zeros((classes, buckets), np.int32)
    for number in range(which.size):
        for at in range(ends[which[number]], ends[which[number] + 1]):
            uses[labels[number], columns[at]] += 1
    return uses


@compiled
def choose(
    all_ends: Array, all_columns: Array, times: Array, which: Array, places: Array
) -> tuple[Array, Array, Array]:
    """The fields of Chosen: of the rows `which`, the columns with a place (not -1), under that number."""
    ends = np.zeros(which.size + 1, np.int64)
    for number in range(which.size):
        kept = 0
        for at in range(all_ends[which[number]], all_ends[which[number] + 1]):
            kept += places[all_columns[at]] >= 0
        ends[number + 1] = ends[number] + kept
    columns = np.empty(ends[which.size], np.int32)
    values = np.empty(ends[which.size], np.float32)
    for number in range(which.size):
        to = ends[number]
        total = 0.0
        for at in range(all_ends[which[number]], all_ends[which[number] + 1]):
            place = places[all_columns[at]]
            if place >= 0:
                columns[to] = place
                values[to] = times[at]
                total += times[at]
                to += 1
        scale = 1.0 / np.sqrt(max(total, 1.0))
        for at in range(ends[number], to):
            values[at] *= scale
    return ends, columns, values
