"""Train a model from labelled texts: count, fit, calibrate on texts that were held out, fit again on all.

The same texts, labels, weights and seed give the same file, byte for byte, on any number of cores.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tidewatch.core.errors import ConfigError
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.calibrate import Blend, blend
from tidewatch.sentiment.evaluate import checked, figures
from tidewatch.sentiment.features import LANES, Rows, counts
from tidewatch.sentiment.fitting import COST, FEWEST, ROUNDS, SCALINGS, TOLERANCE, Fitted, fit, scores_of
from tidewatch.sentiment.model import FEATURES, Model
from tidewatch.text import normalise as form
from tidewatch.text.arrays import utf8

if TYPE_CHECKING:
    from tidewatch.text.arrays import Texts

Array = np.ndarray[Any, Any]

BITS = 20
FOLDS, FOLDS_OF_MANY, MANY = 5, 3, 50_000
"""Beyond MANY texts three folds say as much as five."""
LEAST = 10
"""Labels of a class below which nothing can be held out to calibrate with."""
_ABSENT = -1000.0
"""The intercept of a class that was not there: its probability is 0."""
_LARGEST = 32767


def train(
    texts: "Texts",
    labels: Array | Sequence[int],
    weights: Array | Sequence[float] | None = None,
    *,
    seed: int,
    classes: Sequence[str] = LABELS,
    balance: float = 0.0,
    cost: float = COST,
    bits: int = BITS,
    dataset_sha256: str | None = None,
) -> Model:
    """Learn from texts with labels (int, places in LABELS) and weights (how far each is trusted; default 1).

    `classes` are those that must occur and that the model can give. `balance` moves labels, not
    probabilities, from frequent classes to rare ones: 0 gives the likeliest label, 1 takes the frequencies
    of the classes out of account (logit adjustment: Menon et al., ICLR 2021). The higher the
    `cost` of an error, the more exactly the texts are learned. `dataset_sha256` is the name of the frozen
    data; without it, the digest of what is given. Raises ConfigError for data that nothing can be learned
    from.
    """
    array, data, offsets = utf8(texts)
    truth = checked(labels)
    trust = _trust(weights, len(truth))
    if len(array) != len(truth):
        raise _unfit(f"{len(truth)} labels for {len(array)} texts")
    present = _present(truth[trust > 0], classes)
    digest = dataset_sha256 or _digest(data, offsets, truth, trust)
    places = np.searchsorted(present, np.clip(truth, present[0], present[-1])).astype(np.int64)

    rows, bare = counts(array, bits), counts(array, bits, emoticons=False)
    folds = _folds(rows, FOLDS if len(truth) <= MANY else FOLDS_OF_MANY, seed)
    if not folds.any():
        raise _unfit("texts that look all alike", "different texts, to learn from some and try on others")
    held, held_bare = _held_out(rows, bare, folds, places, trust, len(present), bits, seed, cost)
    mixed = blend(held, places, trust)
    fitted = fit(rows, np.arange(len(truth)), places, trust, len(present), 1 << bits, seed, cost)

    leanings = np.zeros(len(LABELS))
    leanings[present] = -balance * np.log(np.bincount(places, trust, len(present)) / trust.sum())
    learned, steps, biases = _fold_in(fitted, mixed, present)
    header = {
        "labels": list(LABELS),
        "features": FEATURES,
        "normalise": form.VERSION,
        "bits": bits,
        "steps": steps,
        "biases": biases,
        "leanings": leanings.tolist(),
        "dataset_sha256": digest,
        "texts": dict(zip(LABELS, np.bincount(truth, minlength=len(LABELS)).tolist(), strict=True)),
        "parameters": _parameters(seed, balance, cost, folds, mixed),
        "metrics": {
            "held_out": _measured(held, mixed, present, leanings, truth),
            "held_out_without_emoticons": _measured(held_bare, mixed, present, leanings, truth),
        },
    }
    return Model(header, learned)


def _parameters(seed: int, balance: float, cost: float, folds: Array, mixed: Blend) -> dict[str, Any]:
    return {
        "seed": seed,
        "balance": float(balance),
        "folds": int(folds.max()) + 1,
        "cost": float(cost),
        "rounds": ROUNDS,
        "tolerance": TOLERANCE,
        "fewest": FEWEST,
        "factors": dict(zip(SCALINGS, mixed.factors.tolist(), strict=True)),
    }


def _measured(held: Array, mixed: Blend, present: Array, leanings: Array, truth: Array) -> dict[str, Any]:
    chances = np.zeros((len(truth), len(LABELS)))
    chances[:, present] = mixed.apply(held)
    labels = np.argmax(np.log(np.maximum(chances, 1e-300)) + leanings, axis=1)
    return figures(labels, chances, truth).as_dict()


def _held_out(
    rows: Rows,
    bare: Rows,
    folds: Array,
    places: Array,
    trust: Array,
    classes: int,
    bits: int,
    seed: int,
    cost: float,
) -> tuple[Array, Array]:
    """Scores of every text from classifiers that did not see it: with its emoticons, and without."""
    shape = (len(places), len(SCALINGS), classes)
    held, held_bare = np.empty(shape), np.empty(shape)
    for fold in range(int(folds.max()) + 1):
        seen, unseen = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fitted = fit(rows, seen, places[seen], trust[seen], classes, 1 << bits, seed, cost)
        held[unseen] = scores_of(rows, unseen, fitted)
        held_bare[unseen] = scores_of(bare, unseen, fitted)
    return held, held_bare


def _folds(rows: Rows, folds: int, seed: int) -> Array:
    """A fold for each text, from what is counted of it: the same text is never on both sides."""
    content = rows.columns.tobytes()
    found = np.empty(len(rows.ends) - 1, np.int64)
    for row, (start, end) in enumerate(zip(rows.ends[:-1] * 4, rows.ends[1:] * 4, strict=True)):
        digest = hashlib.blake2b(
            content[start:end], digest_size=8, salt=seed.to_bytes(16, "little", signed=True)
        )
        found[row] = int.from_bytes(digest.digest(), "little") % folds
    return np.asarray(np.unique(found, return_inverse=True)[1])


def _fold_in(fitted: Fitted, mixed: Blend, present: Array) -> tuple[Array, list[float], list[float]]:
    """One set of integer weights for all classifiers, with the step and the intercept of each class."""
    weights = np.zeros((len(fitted.known), LANES), np.int16)
    weights[:, LANES - 1] = fitted.known
    steps, biases = [0.0] * len(LABELS), [_ABSENT] * len(LABELS)
    for place, label in enumerate(present):
        factors = mixed.factors[:, place]
        summed = factors @ fitted.weights[:, place].astype(np.float64)
        step = max(float(np.abs(summed).max()), 1e-9) / _LARGEST
        weights[:, label] = np.round(summed / step)
        steps[label] = step
        biases[label] = float(factors @ fitted.intercepts[:, place] + mixed.intercepts[place])
    return weights, steps, biases


def _present(truth: Array, classes: Sequence[str]) -> Array:
    found = np.bincount(truth, minlength=len(LABELS))
    wanted = [LABELS.index(name) for name in LABELS if name in classes]
    few = [f"{found[number]} of {LABELS[number]}" for number in wanted if found[number] < LEAST]
    other = [LABELS[number] for number in range(len(LABELS)) if found[number] and number not in wanted]
    if few or other or len(wanted) < 2:
        raise _unfit(
            ", ".join(few)
            or (f"labels of {', '.join(other)}" if other else f"{len(wanted)} classes asked for"),
            f"at least {LEAST} labels of each class: {', '.join(LABELS[number] for number in wanted)}",
        )
    return np.array(wanted)


def _trust(weights: Array | Sequence[float] | None, n: int) -> Array:
    trust: Array = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    if trust.shape != (n,) or not np.isfinite(trust).all() or (trust < 0).any() or not trust.any():
        raise _unfit("weights that are not so", "a finite weight of at least 0 for each text, not all 0")
    return np.asarray(trust / trust.mean())


def _digest(data: Array, offsets: Array, truth: Array, trust: Array) -> str:
    whole = hashlib.sha256()
    for part in (np.diff(offsets).astype("<i8"), data[offsets[0] : offsets[-1]], truth, trust.astype("<f8")):
        whole.update(np.ascontiguousarray(part).data)
    return whole.hexdigest()


def _unfit(found: str, expected: str = "as many labels as texts") -> ConfigError:
    return ConfigError(
        "Nothing can be learned from this", expected=expected, found=found,
        do="add labels, or name the classes that there are with `classes`",
    )  # fmt: skip
