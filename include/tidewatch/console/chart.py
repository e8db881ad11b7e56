"""A chart as SVG: one series a region over time, a line for the target.

No script and no style attributes (the pages' policy would drop them); shapes differ as well as colours, and a
table beside it says the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil, floor, log10

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 14, 30
_STEPS = (1, 2, 5, 10)
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Point:
    """One measurement, in seconds."""

    at: datetime
    seconds: float
    ok: bool
    href: str
    label: str
    joined: bool = True
    """Whether the line goes through it."""


@dataclass(frozen=True)
class Series:
    """The measurements of one region, the oldest first."""

    name: str
    points: list[Point]


@dataclass(frozen=True)
class Mark:
    """A point where it is drawn."""

    x: float
    y: float
    point: Point


@dataclass(frozen=True)
class Chart:
    """Everything in drawing units, for the template."""

    series: list[tuple[int, str, str, list[Mark]]]
    """(number of its shape, name, path, marks)"""
    grid: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    target: float | None
    target_label: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = field(default=WIDTH - _RIGHT)
    bottom: int = field(default=HEIGHT - _BOTTOM)


def draw(series: Sequence[Series], *, since: datetime, until: datetime, target: float | None) -> Chart:
    """The chart of the time from `since` to `until`. Points outside of it are left out."""
    shown = [Series(s.name, [p for p in s.points if since <= p.at <= until]) for s in series]
    highest = max([p.seconds for s in shown for p in s.points] + [target or 0.0, 1.0])
    step = _step(highest)
    top = step * max(1, ceil(highest * 1.02 / step))
    span = max((until - since).total_seconds(), 1.0)

    def x(moment: datetime) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (moment - since).total_seconds() / span, 1)

    def y(seconds: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * seconds / top, 1)

    drawn = []
    for number, one in enumerate(shown):
        marks = [Mark(x(p.at), y(p.seconds), p) for p in one.points]
        path = " ".join(
            f"{'L' if n else 'M'}{m.x} {m.y}" for n, m in enumerate(m for m in marks if m.point.joined)
        )
        drawn.append((number % 3, one.name, path, marks))
    lines = [n * step for n in range(round(top / step) + 1)]
    moments = [since + (until - since) * n / 4 for n in range(5)]
    return Chart(
        series=drawn,
        grid=[(y(v), axis(v, step)) for v in lines],
        ticks=[(x(m), m.strftime("%Y-%m-%d" if span < 120 * 86400 else "%Y-%m")) for m in moments],
        target=None if target is None else y(target),
        target_label="" if target is None else axis(target, step),
    )


def axis(seconds: float, step: float) -> str:
    """`0`, `30 s`, `1.5 min`, `2 h`, in the unit that fits the step."""
    if seconds == 0:
        return "0"
    size, name = next((u for u in _UNITS if step >= u[0]), _UNITS[-1])
    return f"{seconds / size:g} {name}" if seconds / size < 1000 else f"{seconds / size:.0f} {name}"


def _step(highest: float) -> float:
    """About four lines, at round numbers of the unit."""
    unit = next((u for u, _ in _UNITS if highest >= 2 * u), 1)
    wanted = highest / unit / 4
    power = 10.0 ** floor(log10(wanted)) if wanted > 0 else 1.0
    return unit * next(s * power for s in _STEPS if s * power >= wanted)
