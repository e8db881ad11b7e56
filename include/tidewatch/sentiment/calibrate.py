"""From the scores of several linear classifiers to one set of calibrated probabilities.

Multinomial logistic regression on scores that each text got from classifiers that had not seen it: one
factor for each classifier and class, and an intercept for each class (vector scaling of Guo et al., "On
Calibration of Modern Neural Networks", ICML 2017, over several classifiers at once). So it says at the same
time how much each classifier is worth on this data, and the result is again linear in the texts.
"""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

RIDGE = 1e-3
"""Keeps factors finite where classes are separated without an error; too small to be seen elsewhere."""


class Blend(NamedTuple):
    """How to combine: score of class c = sum over m of factors[m, c] * scores[m, c] + intercepts[c]."""

    factors: Array
    intercepts: Array

    def apply(self, scores: Array) -> Array:
        """Probabilities (texts x classes) for scores (texts x classifiers x classes)."""
        return softmax(np.einsum("nmc,mc->nc", scores, self.factors) + self.intercepts)


def softmax(scores: Array) -> Array:
    """Row by row."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def blend(scores: Array, labels: Array, weights: Array) -> Blend:
    """The factors under which the labels (0 to classes - 1) are likeliest.

    scores: float64, texts x classifiers x classes; weights: how much each text counts. The objective is
    convex; it is minimised by L-BFGS from the mean of the classifiers on.
    """
    from scipy.optimize import minimize

    texts, members, classes = scores.shape
    own = np.eye(classes)[labels] * weights[:, None]
    total = weights.sum()

    def loss(parameters: Array) -> tuple[float, Array]:
        factors = parameters[: members * classes].reshape(members, classes)
        intercepts = parameters[members * classes :]
        chances = Blend(factors, intercepts).apply(scores)
        likelihood = np.log(np.maximum(chances[np.arange(texts), labels], 1e-300)) @ weights
        surplus = (chances * weights[:, None] - own) / total
        slope = np.concatenate([np.einsum("nmc,nc->mc", scores, surplus).ravel(), surplus.sum(axis=0)])
        slope[: members * classes] += RIDGE * factors.ravel()
        return float(RIDGE * (factors**2).sum() / 2 - likelihood / total), slope

    start = np.concatenate([np.full(members * classes, 1.0 / members), np.zeros(classes)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return Blend(found[: members * classes].reshape(members, classes), found[members * classes :])
