"""Which challenger: cost, balance, and how much the seed corpus counts, tried on folds of the labels that are
trained on. What is held out is never looked at.

The budget is a number of trainings, so that the same labels give the same challenger on any machine. All
candidates are tried on the first fold, the better half of them on the second, and so on (successive halving:
Karnin, Koren and Somekh, ICML 2013). Folds keep near-duplicates together and hold labels of people only:
what the seed corpus is good for is what it adds to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from tidewatch.core.errors import ConfigError
from tidewatch.core.progress import Progress, silent
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.evaluate import answers
from tidewatch.sentiment.model import Model
from tidewatch.sentiment.retraining.settings import Search
from tidewatch.sentiment.train import train

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]

FOREIGN = "seed"
"""The origin of labels that nobody here gave."""
FIELDS = ("cost", "foreign", "balance", "folds", "accuracy", "macro_f1")
_LEAST = 1e-12


@dataclass(frozen=True)
class Parameters:
    """What is searched for: see `settings.Search`."""

    cost: float
    foreign: float
    balance: float


@dataclass
class Tried:
    """A candidate and how it did so far: by balance, how often each label (row) was called each (column)."""

    cost: float
    foreign: float
    confusion: dict[float, Array]
    folds: int = 0
    failed: str | None = None
    """Why nothing could be learned with it."""

    def figures(self) -> list[tuple[float, float, float]]:
        """(balance, accuracy, macro F1)."""
        return [(b, _accuracy(c), _macro_f1(c)) for b, c in self.confusion.items()]


@dataclass(frozen=True)
class Found:
    """What was chosen, what was tried, and how many trainings that took (the last one not counted)."""

    chosen: Parameters
    tried: tuple[Tried, ...]
    trainings: int
    texts: int

    def as_dict(self) -> dict[str, Any]:
        """JSON: `tried` has a row of FIELDS for each candidate and balance."""
        rows = [
            [t.cost, t.foreign, balance, t.folds, round(accuracy, 6), round(f1, 6)]
            for t in self.tried
            for balance, accuracy, f1 in t.figures()
            if t.folds
        ]
        return {
            "chosen": vars(self.chosen),
            "trainings": self.trainings,
            "texts": self.texts,
            "fields": list(FIELDS),
            "tried": rows,
            "failed": [[t.cost, t.foreign, t.failed] for t in self.tried if t.failed],
        }


def search(table: "pa.Table", groups: Array, settings: Search, *, progress: Progress = silent) -> Found:
    """Find parameters for a table of labels to train on (as TrainingSet has it).

    `groups`: a number for each row, the same for near-duplicates. Deterministic. With a budget for the
    challenger alone, or with no label of a person to try on, the usual parameters are chosen.
    """
    own = np.flatnonzero(np.array([origin != FOREIGN for origin in table["origin"].to_pylist()], bool))
    folds = folds_of(table, groups, settings.folds, settings.seed)
    tried = _candidates(settings, foreign=len(own) < table.num_rows)
    budget = settings.trainings - 1
    alive, trainings = list(tried), 0
    for fold in range(settings.folds):
        alive = alive[: budget - trainings]
        if not alive or not len(own):
            break
        for candidate in alive:
            _try(candidate, table, folds, fold, own, settings)
            trainings += 1
            progress(f"fold {fold + 1}: cost {candidate.cost:g}, seed corpus {candidate.foreign:g}: tried")
        alive = _ranked([c for c in alive if c.failed is None], settings)
        alive = alive[: max(1, (len(alive) + 1) // 2)]
    return Found(_best(tried, settings), tuple(tried), trainings, len(own))


def learn(table: "pa.Table", chosen: Parameters, settings: Search, *, dataset_sha256: str) -> Model:
    """The challenger: trained on all of the table. Raises ConfigError for labels that nothing can be learned
    from."""
    return _learn(
        table,
        np.arange(table.num_rows),
        chosen.cost,
        chosen.foreign,
        chosen.balance,
        settings,
        dataset_sha256,
    )


def folds_of(table: "pa.Table", groups: Array, folds: int, seed: int) -> Array:
    """The fold of each row, by hash: near-duplicates are of one fold, named by the first of their hashes."""
    names = np.array(table["text_sha256"].to_pylist(), dtype=object)
    order = np.argsort(names, kind="stable")
    _, first, inverse = np.unique(np.asarray(groups)[order], return_index=True, return_inverse=True)
    of_group = [
        int.from_bytes(sha256(f"{seed}\n{names[order[place]]}".encode()).digest()[:8], "big") % folds
        for place in first
    ]
    found = np.empty(len(names), np.int64)
    found[order] = np.array(of_group, np.int64)[inverse.ravel()] if len(names) else 0
    return found


def _candidates(settings: Search, *, foreign: bool) -> list[Tried]:
    """The usual one first, the others in an order that the seed decides: a small budget leaves out others
    with another seed."""
    pairs = [(c, f) for c in settings.cost for f in (settings.foreign if foreign else settings.foreign[:1])]
    order = np.random.default_rng(settings.seed).permutation(len(pairs) - 1) + 1
    empty = np.zeros((len(LABELS), len(LABELS)), np.int64)
    return [
        Tried(cost, foreign, {balance: empty.copy() for balance in settings.balance})
        for cost, foreign in (pairs[place] for place in [0, *order.tolist()])
    ]


def _try(candidate: Tried, table: "pa.Table", folds: Array, fold: int, own: Array, settings: Search) -> None:
    """Train without a fold, and count the answers on that fold's labels of people, for every balance."""
    seen, unseen = np.flatnonzero(folds != fold), own[folds[own] == fold]
    if not len(unseen):
        return
    try:
        # Balance moves labels, not probabilities: one training tells of all of them.
        model = _learn(table, seen, candidate.cost, candidate.foreign, 1.0, settings, "0" * 64)
    except ConfigError as error:
        candidate.failed = error.found
        return
    held = table.take(unseen)
    _, chances = answers(model.score(held["text"]))
    leanings = np.array(model.header["leanings"], np.float64)
    truth = held["label"].to_numpy()
    for balance, confusion in candidate.confusion.items():
        given = np.argmax(np.log(np.maximum(chances, _LEAST)) + balance * leanings, axis=1)
        np.add.at(confusion, (truth, given), 1)
    candidate.folds += 1


def _learn(
    table: "pa.Table",
    which: Array,
    cost: float,
    foreign: float,
    balance: float,
    settings: Search,
    digest: str,
) -> Model:
    rows = table.take(which)
    weights = rows["weight"].to_numpy().astype(np.float64)
    theirs = np.array([origin == FOREIGN for origin in rows["origin"].to_pylist()], bool)
    weights[theirs] *= foreign
    kept = np.flatnonzero(weights > 0)
    rows = rows.take(kept)
    return train(
        rows["text"], rows["label"].to_numpy(), weights[kept], seed=settings.seed, balance=balance,
        cost=cost, bits=settings.bits, dataset_sha256=digest,
    )  # fmt: skip


def _ranked(tried: Sequence[Tried], settings: Search) -> list[Tried]:
    """The best first; equal ones in the order in which they came."""
    figures = [max(_scores(t, tried, settings)) for t in tried]
    return [tried[n] for n in sorted(range(len(tried)), key=lambda n: figures[n], reverse=True)]


def _best(tried: Sequence[Tried], settings: Search) -> Parameters:
    sound = [t for t in tried if t.failed is None and t.folds]
    last = [t for t in sound if t.folds == max(each.folds for each in sound)]
    if not last:
        return Parameters(settings.cost[0], tried[0].foreign, settings.balance[0])
    winner = _ranked(last, settings)[0]
    scores = _scores(winner, last, settings)
    return Parameters(winner.cost, winner.foreign, list(winner.confusion)[scores.index(max(scores))])


def _scores(one: Tried, among: Sequence[Tried], settings: Search) -> list[tuple[bool, float]]:
    """By balance: whether the accuracy is near enough to the best one, and what then counts."""
    best = max(accuracy for t in among for _, accuracy, _ in t.figures())
    return [
        (near, f1 if near else accuracy)
        for _, accuracy, f1 in one.figures()
        for near in [accuracy >= best - settings.allowance]
    ]


def _accuracy(confusion: Array) -> float:
    return float(confusion.trace() / max(confusion.sum(), 1))


def _macro_f1(confusion: Array) -> float:
    """The mean over the classes that occur."""
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    there = confusion.sum(axis=1) > 0
    return float((2 * confusion.diagonal()[there] / both[there]).mean()) if there.any() else 0.0
