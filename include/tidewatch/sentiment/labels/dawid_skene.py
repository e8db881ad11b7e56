"""How far each annotator is to be believed: the model of Dawid and Skene, fitted by EM.

Dawid, Skene: Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm, Applied
Statistics 28(1):20-28, 1979. Each text has a true class; each annotator has a matrix: how often he calls a
text of class j an l. Neither is known, and each gives the other.

Two things differ from the paper (decision 0046). Counts are added to every matrix beforehand, so that three
labels make nobody infallible. And matrices are fitted on texts with two annotators at least: on the others an
annotator only agrees with himself.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TOLERANCE = 1e-10
_MOST_ROUNDS = 2000


@dataclass(frozen=True)
class Votes:
    """Labels as three columns of one length: which text, which annotator, which class (each from 0 on)."""

    text: npt.NDArray[np.int64]
    annotator: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    texts: int
    annotators: int
    classes: int


@dataclass(frozen=True)
class Fit:
    """`confusion` (annotators x classes x classes): how probable each label is of each annotator (third axis)
    for a text of each class (second). `shares`: of the classes among the texts that were fitted."""

    confusion: Floats
    shares: Floats
    texts: int
    rounds: int
    converged: bool


def fit(votes: Votes, *, correct: float, wrong: float) -> Fit:
    """Fit the model to the texts that have two labels at least.

    `correct` and `wrong` are what is added to each matrix: on its diagonal and beside it; 0 and 0 is the
    paper's maximum likelihood. An annotator without such texts keeps what was added, his mean before anything
    is known. Deterministic: the start is the share of labels of each text.
    """
    votes, texts = _overlapping(votes)
    k = votes.classes
    added = np.full((k, k), wrong) + np.eye(k) * (correct - wrong)
    if not texts:
        return Fit(_normed(np.broadcast_to(added, (votes.annotators, k, k))), np.full(k, 1 / k), 0, 0, True)
    truth = _shares_of_labels(votes)
    rounds, converged = 0, False
    while not converged and rounds < _MOST_ROUNDS:
        rounds += 1
        confusion, shares = _maximise(votes, truth, added)
        fresh = posterior(votes, confusion, shares)
        converged = bool(np.abs(fresh - truth).max() < _TOLERANCE)
        truth = fresh
    return Fit(confusion, shares, texts, rounds, converged)


def posterior(votes: Votes, confusion: Floats, shares: Floats) -> Floats:
    """Probability of each class for each text (texts x classes), given matrices and shares of classes."""
    with np.errstate(divide="ignore"):
        log_confusion, log_shares = np.log(confusion), np.log(shares)
    score = np.repeat(log_shares[None, :], votes.texts, axis=0)
    np.add.at(score, votes.text, log_confusion[votes.annotator, :, votes.label])
    score -= score.max(axis=1, keepdims=True)
    score = np.exp(score)
    result: Floats = score / score.sum(axis=1, keepdims=True)
    return result


def _maximise(votes: Votes, truth: Floats, added: Floats) -> tuple[Floats, Floats]:
    counts = np.zeros((votes.annotators, votes.classes, votes.classes))
    # [annotator, label, class], turned round below: the index arrays come first
    np.add.at(counts, (votes.annotator, votes.label), truth[votes.text])
    return _normed(counts.transpose(0, 2, 1) + added), truth.mean(axis=0)


def _normed(counts: npt.NDArray[np.float64]) -> Floats:
    sums = counts.sum(axis=2, keepdims=True)
    # A class that an annotator never met, with nothing added: every label is as good.
    return np.where(sums > 0, counts / np.where(sums > 0, sums, 1), 1 / counts.shape[2])


def _shares_of_labels(votes: Votes) -> Floats:
    counts = np.zeros((votes.texts, votes.classes))
    np.add.at(counts, (votes.text, votes.label), 1.0)
    result: Floats = counts / counts.sum(axis=1, keepdims=True)
    return result


def _overlapping(votes: Votes) -> tuple[Votes, int]:
    """The labels of texts that have two at least, with texts numbered anew, and how many texts that are."""
    enough = np.bincount(votes.text, minlength=votes.texts) >= 2
    kept = enough[votes.text]
    number = np.cumsum(enough) - 1
    texts = int(enough.sum())
    text = number[votes.text[kept]]
    return (
        Votes(text, votes.annotator[kept], votes.label[kept], texts, votes.annotators, votes.classes),
        texts,
    )
