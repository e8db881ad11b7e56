"""Coefficients against published examples and against the definitions, computed slowly and exactly."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatch.sentiment.labels.agreement import ONE_ANNOTATOR, ONE_LABEL, alpha, kappa, measure

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), part C: 4 observers, 12 units, 5 values.
KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""


def _grid(text: str) -> npt.NDArray[np.int8]:
    """One row a unit, one column an observer; -1 is missing."""
    rows = [[-1 if v == "." else int(v) - 1 for v in line.split()] for line in text.strip().splitlines()]
    return np.array(rows, dtype=np.int8).T


def _counts(votes: npt.NDArray[np.int8], classes: int) -> npt.NDArray[np.int64]:
    return np.stack([(votes == c).sum(axis=1) for c in range(classes)], axis=1).astype(np.int64)


def slow_alpha(votes: npt.NDArray[np.int8], classes: int, metric: str) -> Fraction | None:
    """Krippendorff's definition, pair by pair, in exact fractions."""
    coincidences = [[Fraction(0)] * classes for _ in range(classes)]
    for unit in votes.tolist():
        values = [v for v in unit if v >= 0]
        for a, b in permutations(values, 2):
            coincidences[a][b] += Fraction(1, len(values) - 1)
    n_of = [sum(row, Fraction(0)) for row in coincidences]
    n = sum(n_of)

    def distance(c: int, k: int) -> Fraction:
        if metric == "nominal":
            return Fraction(int(c != k))
        low, high = min(c, k), max(c, k)
        return (sum(n_of[low : high + 1], Fraction(0)) - (n_of[c] + n_of[k]) / 2) ** 2

    cells = [(c, k) for c in range(classes) for k in range(classes)]
    expected = sum(n_of[c] * n_of[k] * distance(c, k) for c, k in cells)
    if not expected:
        return None
    observed = sum(coincidences[c][k] * distance(c, k) for c, k in cells)
    return 1 - (n - 1) * observed / expected


def test_alpha_is_the_published_one() -> None:
    votes = _grid(KRIPPENDORFF)
    counts = _counts(votes, 5)
    nominal, ordinal = alpha(counts, "nominal"), alpha(counts, "ordinal")
    assert nominal is not None and ordinal is not None
    assert (round(nominal, 3), round(ordinal, 3)) == (0.743, 0.815)
    for value, metric in ((nominal, "nominal"), (ordinal, "ordinal")):
        exact = slow_alpha(votes, 5, metric)
        assert exact is not None and abs(value - float(exact)) < 1e-12


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 2), min_size=4, max_size=4), min_size=1, max_size=15))
def test_alpha_is_its_definition(rows: list[list[int]]) -> None:
    votes = np.array(rows, dtype=np.int8)
    for metric in ("nominal", "ordinal"):
        value, exact = alpha(_counts(votes, 3), metric), slow_alpha(votes, 3, metric)  # type: ignore[arg-type]
        assert (value is None) == (exact is None)
        assert value is None or exact is None or abs(value - float(exact)) < 1e-9


def test_kappa_is_the_published_one_and_its_definition() -> None:
    # Cohen 1960, table 1 (proportions of 200): kappa .492.
    cohen = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]], dtype=np.int64)
    value = kappa(cohen)
    assert value is not None and round(value, 3) == 0.492
    n = Fraction(int(cohen.sum()))
    agreed = Fraction(int(np.trace(cohen))) / n
    chance = sum(Fraction(int(cohen[i].sum())) * int(cohen[:, i].sum()) for i in range(3)) / n**2
    assert abs(value - float((agreed - chance) / (1 - chance))) < 1e-12
    assert kappa(np.zeros((3, 3), dtype=np.int64)) is None
    assert kappa(np.diag([5, 0, 0]).astype(np.int64)) is None


def _simulated(n: int, error: float, seed: int) -> npt.NDArray[np.int8]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    votes = np.full((n, 3), -1, dtype=np.int8)
    for a in range(3):
        wrong = rng.random(n) < error
        votes[:, a] = np.where(wrong, (truth + rng.integers(1, 3, n)) % 3, truth)
    votes[rng.random((n, 3)) < 0.3] = -1
    return votes


def test_intervals_are_seeded_do_not_depend_on_the_order_and_hold_the_value() -> None:
    votes = _simulated(400, 0.15, 1)
    names = ("a", "b", "c")
    one = measure(votes, names, classes=3, seed=7)
    shuffled = measure(votes[np.random.default_rng(0).permutation(400)], names, classes=3, seed=7)
    assert one == shuffled
    other = measure(votes, names, classes=3, seed=8)
    assert other.nominal != one.nominal and other.nominal.value == one.nominal.value
    for figure in (one.nominal, one.ordinal, *(p.kappa for p in one.pairs)):
        assert figure.value is not None and figure.low is not None and figure.high is not None
        assert figure.low < figure.value < figure.high


def test_the_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    truth = alpha(_counts(_simulated(200_000, 0.2, 99), 3))
    assert truth is not None
    held = 0
    for seed in range(100):
        figure = measure(_simulated(150, 0.2, seed), ("a", "b", "c"), classes=3, seed=0, draws=400).nominal
        assert figure.low is not None and figure.high is not None
        held += figure.low <= truth <= figure.high
    assert 88 <= held <= 100  # 95 expected; 88 has a probability of 0.4 %


def test_what_cannot_be_told_is_said_in_words() -> None:
    alone = np.array([[0, -1], [1, -1], [-1, 2]], dtype=np.int8)
    told = measure(alone, ("a", "b"), classes=3, seed=0)
    assert told.texts == 0 and told.nominal.value is None and told.nominal.why == ONE_ANNOTATOR
    assert told.pairs == ()
    same = np.zeros((30, 2), dtype=np.int8)
    told = measure(same, ("a", "b"), classes=3, seed=0)
    assert told.nominal.why == told.pairs[0].kappa.why == ONE_LABEL and told.pairs[0].agreed == 1
    few = np.array([[0, 0], [1, 1], [2, 0]], dtype=np.int8)
    told = measure(few, ("a", "b"), classes=3, seed=0)
    assert told.nominal.value is not None and told.nominal.low is None
    nobody = measure(np.zeros((0, 0), dtype=np.int8), (), classes=3, seed=0)
    assert nobody.nominal.why == ONE_ANNOTATOR
