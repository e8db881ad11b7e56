"""Whether a test with these labels could mean anything, and how many are missing if not.

Two questions are asked of the frozen set. Could a challenger that finds as many of each class as is expected
show it? The lower bound of Wilson's 95 % interval (Wilson, "Probable Inference", JASA 22:209-212, 1927) must
then reach the floor. And could a difference of the margin be seen between two models on the same posts?
McNemar's test needs (Connor, "Sample Size for Testing Differences in Proportions for the Paired-Sample
Design", Biometrics 43:207-211, 1987), with a share d of posts that only one of the two gets right:

    n = (z(1 - alpha / 2) sqrt(d) + z(power) sqrt(d - margin^2))^2 / margin^2
"""

import math
from bisect import bisect_left
from functools import cache
from typing import Any

import numpy as np

from tidewatch.core.errors import ConfigError
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.evaluate import CONFIDENCE
from tidewatch.sentiment.retraining.settings import RetrainingFile
from tidewatch.sentiment.retraining.splitting import Split

_MOST = 1 << 24
"""Posts beyond which nobody labels: a floor that needs more cannot be shown."""


def missing(split: Split, settings: RetrainingFile, *, champion: bool = True) -> dict[str, Any] | None:
    """What is missing for the test to mean something, as JSON of numbers; None: nothing.

    `test` by class: held-out posts of the frozen set. `paired`: posts of it, all classes together, needed to
    compare with a champion (False: there is none). `train` by class: labels that are not held out. Each has
    `have`, `needed`, `missing`, and `to_label`: about how many labels of people that takes, since a share of
    them is held out. Raises ConfigError for settings that no number of labels can satisfy.
    """
    share, frozen = settings.held_out.share, split.sets.get("frozen")
    tested = split.labels[frozen.indices] if frozen else np.empty(0, np.int8)
    needed = {
        "test": dict.fromkeys(LABELS, for_floor(settings.limits.recall, settings.enough.expected_recall)),
        "train": dict.fromkeys(LABELS, settings.enough.train_per_class),
    }
    have = {"test": _by_class(tested), "train": _by_class(split.labels[split.train])}
    kept = {"test": share, "train": 1 - share}
    found: dict[str, Any] = {}
    for part, of in needed.items():
        lacking = {
            name: _lack(have[part][name], n, kept[part]) for name, n in of.items() if have[part][name] < n
        }
        if lacking:
            found[part] = lacking
    if champion:
        plan = settings.enough
        pairs = for_difference(settings.limits.margin, discordance=plan.discordance, power=plan.power)
        if len(tested) < pairs:
            found["paired"] = _lack(len(tested), pairs, share)
    return found or None


def for_floor(floor: float, expected: float) -> int:
    """The least n for which Wilson's lower bound of an observed share `expected` reaches the floor: 196 for
    0.85 and 0.9, 22 for 0.85 and 1. Raises ConfigError where no n does."""
    if expected <= floor or _lower(expected, _MOST) < floor:
        raise ConfigError(
            "config/retraining.yaml asks for what no number of labels can show",
            expected=f"enough.expected_recall clearly above limits.recall, which is {floor:g}",
            found=f"{expected:g}",
            do="raise enough.expected_recall, or lower limits.recall",
        )
    return bisect_left(range(1, _MOST), floor, key=lambda n: _lower(expected, n)) + 1


def for_difference(margin: float, *, discordance: float, power: float) -> int:
    """Posts from which on McNemar's test sees a difference of `margin` with this power (Connor's formula).

    `discordance`: share of posts that only one of the two models gets right. Raises ConfigError where it is
    not larger than the margin: two models differ on as many posts at least as their accuracies are apart.
    """
    from scipy.stats import norm

    if discordance <= margin:
        raise ConfigError(
            "config/retraining.yaml contradicts itself",
            expected=f"enough.discordance above limits.margin, which is {margin:g}",
            found=f"{discordance:g}",
            do="raise enough.discordance to the share of posts that only one of two models gets right, as "
            "measured in an earlier run",
        )
    seen = float(norm.ppf(power))
    root = _two_sided() * math.sqrt(discordance) + seen * math.sqrt(discordance - margin**2)
    return math.ceil(root**2 / margin**2)


def _lower(share: float, n: int) -> float:
    """Wilson's lower bound of a share; it grows with n."""
    z = _two_sided()
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (share + z**2 / (2 * n) - half) / (1 + z**2 / n)


@cache
def _two_sided() -> float:
    from scipy.stats import norm

    return float(norm.ppf(0.5 + CONFIDENCE / 2))


def _by_class(labels: Any) -> dict[str, int]:
    return {name: int((labels == number).sum()) for number, name in enumerate(LABELS)}


def _lack(have: int, needed: int, kept: float) -> dict[str, int]:
    lacking = needed - have
    return {"have": have, "needed": needed, "missing": lacking, "to_label": math.ceil(lacking / kept)}
