"""Does a share reach the floor, and do that many cases show it?

A share is shown to reach a floor when the lower end of its 95 % interval (Wilson) does. By inverting Wilson's
interval (E. B. Wilson, JASA 22:209-212, 1927): p of n reaches f when n >= z^2 f (1 - f) / (p - f)^2.
"""

from collections.abc import Mapping
from math import ceil
from statistics import NormalDist
from typing import Any, Literal

Verdict = Literal["shown", "not_yet", "too_few", "below", "nothing"]
_Z = NormalDist().inv_cdf(0.975)


def needed(share: float, floor: float) -> int | None:
    """How many cases show that a share like this reaches the floor (both in 0 to 1); None: none ever do."""
    if share <= floor:
        return None
    return ceil(_Z**2 * floor * (1 - floor) / (share - floor) ** 2 - 1e-9)


def least(floor: float) -> int:
    """How many cases can show it at the very least: all of them right."""
    return needed(1.0, floor) or 1


def verdict(share: Mapping[str, Any] | None, floor: float) -> Verdict:
    """Of a share as an evaluation has it (value, low, high, n). `too_few`: so few that nothing could show it;
    `not_yet`: above the floor, but so few cases do not show it; `below`: below the floor."""
    if share is None:
        return "nothing"
    if share["low"] >= floor:
        return "shown"
    if share["n"] < least(floor):
        return "too_few"
    return "not_yet" if share["value"] > floor else "below"
