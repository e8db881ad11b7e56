"""The model of Dawid and Skene on the paper's own data, and on annotators whose errors are known."""

import math

import numpy as np
import pytest

from tidewatch.sentiment.labels.dawid_skene import Votes, fit, posterior

# Dawid, Skene 1979, table 1: 45 patients; observer 1 three times, then observers 2 to 5.
TABLE_1 = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223
2322223 4444444 2223343 1111111 2223212 1211111 1112111 1111111 1111111
2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111 2322222
1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343
2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222
"""
OBSERVER = [0, 0, 0, 1, 2, 3, 4]


def _paper() -> Votes:
    patients = TABLE_1.split()
    assert len(patients) == 45
    rows = [
        (i, OBSERVER[place], int(v) - 1) for i, seen in enumerate(patients) for place, v in enumerate(seen)
    ]
    text, annotator, label = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return Votes(text, annotator, label, 45, 5, 4)


def slow(votes: Votes, rounds: int) -> tuple[list[list[list[float]]], list[float]]:
    """Equations 2.3 to 2.5 of the paper, term by term."""
    items, people, k = range(votes.texts), range(votes.annotators), range(votes.classes)
    n = [[[0] * len(k) for _ in people] for _ in items]
    for i, a, v in zip(votes.text.tolist(), votes.annotator.tolist(), votes.label.tolist(), strict=True):
        n[i][a][v] += 1
    truth = [[sum(n[i][a][j] for a in people) / sum(map(sum, n[i])) for j in k] for i in items]
    for _ in range(rounds):
        shares = [math.fsum(truth[i][j] for i in items) / len(items) for j in k]
        matrices = []
        for a in people:
            counts = [[math.fsum(truth[i][j] * n[i][a][v] for i in items) for v in k] for j in k]
            matrices.append([[c / math.fsum(row) for c in row] for row in counts])
        for i in items:
            score = [
                shares[j] * math.prod(matrices[a][j][v] ** n[i][a][v] for a in people for v in k) for j in k
            ]
            truth[i] = [s / math.fsum(score) for s in score]
    return matrices, shares


def test_the_paper_s_figures_come_out() -> None:
    result = fit(_paper(), correct=0, wrong=0)
    assert result.converged and result.texts == 45
    # Table 4 of the paper: marginals of the classes.
    assert result.shares.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    # Table 3 of the paper: observer 1.
    assert result.confusion[0].round(2).tolist() == [
        [0.89, 0.11, 0.00, 0.00],
        [0.07, 0.88, 0.05, 0.00],
        [0.00, 0.34, 0.66, 0.00],
        [0.00, 0.00, 0.56, 0.44],
    ]
    matrices, shares = slow(_paper(), result.rounds)
    assert np.abs(result.confusion - np.array(matrices)).max() < 1e-9
    assert np.abs(result.shares - np.array(shares)).max() < 1e-9


def _simulated(n: int, accuracy: list[float], labelled: float, seed: int) -> tuple[Votes, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    text, annotator, label = [], [], []
    for a, right in enumerate(accuracy):
        seen = np.flatnonzero(rng.random(n) < labelled)
        said = np.where(
            rng.random(len(seen)) < right, truth[seen], (truth[seen] + rng.integers(1, 3, len(seen))) % 3
        )
        text.append(seen), annotator.append(np.full(len(seen), a)), label.append(said)
    return Votes(*map(np.concatenate, (text, annotator, label)), n, len(accuracy), 3), truth


def test_good_and_careless_annotators_are_told_apart_and_beat_the_majority() -> None:
    accuracy = [0.95, 0.9, 0.55, 0.5, 0.5]
    votes, truth = _simulated(3000, accuracy, 0.8, 3)
    result = fit(votes, correct=8, wrong=1)
    found = result.confusion[:, range(3), range(3)].mean(axis=1)
    assert np.abs(found - accuracy).max() < 0.04
    believed = posterior(votes, result.confusion, np.full(3, 1 / 3)).argmax(axis=1)
    counts = np.zeros((3000, 3))
    np.add.at(counts, (votes.text, votes.label), 1)
    labelled = counts.sum(axis=1) > 0
    assert (believed == truth)[labelled].mean() > (counts.argmax(axis=1) == truth)[labelled].mean() + 0.03


def test_texts_that_only_one_person_labelled_say_nothing_of_that_person() -> None:
    votes, _ = _simulated(400, [0.9, 0.6], 1.0, 4)
    before = fit(votes, correct=8, wrong=1)
    alone = np.arange(400, 5400)  # 5,000 more texts of the careless one alone
    more = Votes(
        np.concatenate([votes.text, alone]),
        np.concatenate([votes.annotator, np.full(5000, 1)]),
        np.concatenate([votes.label, np.zeros(5000, dtype=np.int64)]),
        5400, 2, 3,
    )  # fmt: skip
    assert np.array_equal(fit(more, correct=8, wrong=1).confusion, before.confusion)


def test_somebody_of_whom_nothing_is_known_is_believed_as_the_settings_say() -> None:
    votes = Votes(np.array([0, 1]), np.array([0, 1]), np.array([2, 0]), 2, 2, 3)
    result = fit(votes, correct=8, wrong=1)
    assert result.texts == 0
    assert result.confusion == pytest.approx(
        np.broadcast_to(np.full((3, 3), 0.1) + 0.7 * np.eye(3), (2, 3, 3))
    )
    assert posterior(votes, result.confusion, np.full(3, 1 / 3))[0] == pytest.approx([0.1, 0.1, 0.8])


def test_three_labels_make_nobody_infallible() -> None:
    votes = Votes(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1] * 3), np.array([0, 0, 1, 1, 2, 2]), 3, 2, 3)
    result = fit(votes, correct=8, wrong=1)
    assert result.converged and result.confusion[0].max() < 0.85
