"""Diagrams of a model as SVG: how far its probabilities can be believed, and by how much two models differ.

As in `chart`: no script, no style attributes, and a table beside each says the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

SIDE = 320
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 12, 14, 40
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_LARGEST, _SMALLEST = 11.0, 2.5


@dataclass(frozen=True)
class Dot:
    """Posts of about one probability: where, how large, and what it says."""

    x: float
    y: float
    radius: float
    label: str


@dataclass(frozen=True)
class Reliability:
    """Everything in drawing units: share that was right (up) over probability (right)."""

    dots: list[Dot]
    ticks: list[tuple[float, float, str]]
    """(place on the x axis, place on the y axis, percent)"""
    left: int = _LEFT
    right: int = SIDE - _RIGHT
    top: int = _TOP
    bottom: int = SIDE - _BOTTOM
    side: int = SIDE


def reliability(bins: Sequence[Mapping[str, Any]]) -> Reliability:
    """Bins as an evaluation has them: n, mean probability, share that was right. The area of a dot is in
    proportion to its posts."""
    most = max((one["n"] for one in bins), default=1)
    return Reliability(
        dots=[
            Dot(
                _x(one["probability"]),
                _y(one["accuracy"]),
                round(max(_SMALLEST, _LARGEST * sqrt(one["n"] / most)), 1),
                f"{one['probability']:.1%} → {one['accuracy']:.1%}, n = {one['n']:,}",
            )
            for one in bins
        ],
        ticks=[(_x(value), _y(value), f"{value:.0%}") for value in _TICKS],
    )


def _x(value: float) -> float:
    return round(_LEFT + (SIDE - _LEFT - _RIGHT) * value, 1)


def _y(value: float) -> float:
    return round(SIDE - _BOTTOM - (SIDE - _TOP - _BOTTOM) * value, 1)


WIDTH, HEIGHT = 150, 22
_EDGE = 6


@dataclass(frozen=True)
class Span:
    """One difference with its interval, in drawing units; all of a table share one scale."""

    low: float
    middle: float
    high: float
    zero: float
    margin: float
    width: int = WIDTH
    height: int = HEIGHT


def spans(rows: Iterable[Mapping[str, Any]], *, margin: float) -> list[Span]:
    """Rows with difference, low and high; `margin`: so much may be lost, marked on the left of zero."""
    found = list(rows)
    reach = max([abs(float(row[name])) for row in found for name in ("low", "high")] + [margin * 1.5])

    def x(value: float) -> float:
        return round(WIDTH / 2 + (WIDTH / 2 - _EDGE) * value / reach, 1)

    return [Span(x(row["low"]), x(row["difference"]), x(row["high"]), x(0.0), x(-margin)) for row in found]
