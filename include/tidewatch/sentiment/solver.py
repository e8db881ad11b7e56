"""Linear classifiers, compiled: coordinate descent on the dual of the support vector machine with squared
hinge loss, as in Hsieh et al., "A Dual Coordinate Descent Method for Large-scale Linear SVM" (ICML 2008),
algorithm 1 without shrinking, with a cost of its own for each row.
"""

from typing import Any

import numpy as np

from tidewatch.text.compiled import compiled

Array = np.ndarray[Any, Any]


@compiled
def separate(
    ends: Array, columns: Array, values: Array, signs: Array, costs: Array, width: int, rounds: int,
    tolerance: float, seed: int,
) -> Array:  # fmt: skip
    """Weights (float64, `width` and one more, the intercept) of the plane that separates rows with sign 1
    from those with sign -1.

    Rows are sparse (CSR): ends int64, columns int32, values float32. Minimises
    |w|^2 / 2 + sum_i costs_i * max(0, 1 - signs_i * (w x_i + b))^2, the intercept regularised as in
    LIBLINEAR. Stops when no row violates the optimum by `tolerance`, or after `rounds` passes.
    """
    rows = signs.size
    weights = np.zeros(width + 1)
    alphas = np.zeros(rows)
    curves = np.empty(rows)
    for row in range(rows):
        total = 1.0 + 0.5 / costs[row] if costs[row] > 0 else 0.0
        for at in range(ends[row], ends[row + 1]):
            total += values[at] * values[at]
        curves[row] = total
    order = np.arange(rows)
    state = np.uint64(seed) * np.uint64(2) + np.uint64(0x9E3779B97F4A7C15)
    for _ in range(rounds):
        for left in range(rows - 1, 0, -1):  # Fisher and Yates, with xorshift64
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            other = np.int64((state >> np.uint64(33)) % np.uint64(left + 1))
            order[left], order[other] = order[other], order[left]
        worst = 0.0
        for number in range(rows):
            row = order[number]
            if costs[row] <= 0:
                continue
            score = weights[width]
            for at in range(ends[row], ends[row + 1]):
                score += weights[columns[at]] * values[at]
            slope = signs[row] * score - 1.0 + alphas[row] * 0.5 / costs[row]
            if alphas[row] == 0.0 and slope >= 0.0:
                continue
            worst = max(worst, abs(slope))
            moved = max(alphas[row] - slope / curves[row], 0.0) - alphas[row]
            if moved == 0.0:
                continue
            alphas[row] += moved
            moved *= signs[row]
            weights[width] += moved
            for at in range(ends[row], ends[row + 1]):
                weights[columns[at]] += moved * values[at]
        if worst < tolerance:
            break
    return weights
