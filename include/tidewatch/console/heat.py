"""The heat map: days x sources x regions, from rows of sql/console/heat.sql."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Literal

State = Literal["verified", "lacking", "failed", "suspect", "rejected", "running", "expired", "none", "quiet"]
"""What a region has of a source's day. `none`: no backup although there were earlier ones; `quiet`: nothing
was to be expected (before the first backup, today so far, or a region the source is not kept in)."""

_RANK: Sequence[State] = (
    "verified", "lacking", "suspect", "running", "expired", "rejected", "failed", "none", "quiet",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One day of a source in a region. `backup_id`: the backup that says so."""

    day: date
    state: State
    backup_id: str | None = None


@dataclass(frozen=True)
class Row:
    """The days of a source in a region, the oldest first."""

    source: str
    region: str
    cells: list[Cell]


def days_until(today: date, count: int) -> list[date]:
    """The last `count` days, today included, the oldest first."""
    return [today - timedelta(days=n) for n in range(count - 1, -1, -1)]


def months(days: Iterable[date]) -> list[tuple[date, int]]:
    """The first day shown of each month, and how many days of it are shown."""
    parts = (list(group) for _, group in groupby(days, key=lambda d: (d.year, d.month)))
    return [(part[0], len(part)) for part in parts]


def heat_map(
    rows: Iterable[Mapping[str, Any]],
    days: Sequence[date],
    sources: Mapping[str, date | None],
    regions: Sequence[str],
) -> list[Row]:
    """`rows` carry `day`; `sources`: name -> day of the first backup ever, None before there was one.
    Of several backups of a day the best counts: a failed attempt that was made good is no hole."""
    best: dict[tuple[str, str, date], Cell] = {}
    kept: set[tuple[str, str]] = set()
    for row in rows:
        key = (row["source"], row["region"], row["day"])
        cell = Cell(row["day"], _state(row), row["backup_id"])
        if row["held"]:
            kept.add(key[:2])
        if key not in best or _RANK.index(cell.state) <= _RANK.index(best[key].state):
            best[key] = cell
    found = []
    for source, first in sources.items():
        elsewhere = any(s == source for s, _ in kept)
        for region in regions:
            # No row of this region while others have theirs: the source is not kept here.
            meant = (source, region) in kept or not elsewhere
            cells = [
                (best.get((source, region, day)) if meant else None)
                or _empty(day, first, days[-1], meant=meant)
                for day in days
            ]
            found.append(Row(source, region, cells))
    return found


def _state(row: Mapping[str, Any]) -> State:
    match row["status"]:
        case "staging" | "staged":
            return "running"
        case "suspect" | "rejected" as status:
            return status  # type: ignore[no-any-return]  # one of the two
        case "failed" | "abandoned":
            return "failed"
    if row["expired"]:
        return "expired"
    return "verified" if row["held"] and not row["lacking"] else "lacking"


def _empty(day: date, first: date | None, today: date, *, meant: bool) -> Cell:
    expected = meant and first is not None and first < day < today
    return Cell(day, "none" if expected else "quiet")
