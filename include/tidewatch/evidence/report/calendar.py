"""Days x sources x regions: which day of which source has a backup, and where it was verified."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from tidewatch.evidence.report.document import GAPS, BackupFacts, CellState, DayFacts, DayState, SourceFacts
from tidewatch.evidence.report.period import Period

GOOD = ("sealed", "degraded", "accepted")
"""Statuses of backups that count: what the gate or a person found right."""
_UNFINISHED = ("staging", "staged")
_REFUSED = ("suspect", "rejected")

MISSING = "backup.missing"
NEVER = "backup.never"


@dataclass(frozen=True)
class Tried:
    """When a source was first and last tried, over the whole catalogue."""

    source: str
    source_type: str
    data_class: str
    first_at: datetime
    last_at: datetime


def sources(
    period: Period, tried: Sequence[Tried], configured: Mapping[str, tuple[str, str]]
) -> list[SourceFacts]:
    """The sources of the month and the days on which a backup was expected, in order of their names.

    `configured`: name -> (type, data class). A source is expected from the day of its first attempt on:
    before that nobody can tell since when it was meant to be. One that is no longer configured is expected up
    to the day of its last attempt. Sources that began after the judged days or had ended before the month
    are left out.
    """
    last = period.judged[-1]
    found = []
    for one in tried:
        start = max(period.day_of(one.first_at), period.days[0])
        end = last if one.source in configured else min(period.day_of(one.last_at), last)
        if start <= end:
            span = (start, end)
            found.append(_source(one.source, one.source_type, one.data_class, span, ended=end < last))
    known = {one.source for one in tried}
    found += [
        _source(name, kind, data_class, None, ended=False)
        for name, (kind, data_class) in configured.items()
        if name not in known
    ]
    return sorted(found, key=lambda s: s.source)


def _source(
    name: str, kind: str, data_class: str, span: tuple[date, date] | None, *, ended: bool
) -> SourceFacts:
    return SourceFacts(
        source=name,
        source_type=kind,
        data_class=data_class,
        expected_from=span[0] if span else None,
        expected_until=span[1] if span else None,
        ended=ended,
        expected_days=(span[1] - span[0]).days + 1 if span else 0,
        covered_days=0,
    )


def calendar(
    period: Period,
    expected: Sequence[SourceFacts],
    backups: Sequence[BackupFacts],
    regions: Sequence[str],
) -> list[DayFacts]:
    """One fact for each source and day of the month, sources in their order, days ascending."""
    made: dict[tuple[str, date], list[BackupFacts]] = {}
    for backup in backups:
        made.setdefault((backup.source, backup.day), []).append(backup)
    judged = set(period.judged)
    days = []
    for source in expected:
        for day in period.days:
            of_day = made.get((source.source, day), [])
            state = _state(source, day, of_day, judged=day in judged)
            days.append(
                DayFacts(
                    day=day,
                    source=source.source,
                    state=state,
                    backups=[b.backup_id for b in of_day],
                    regions={name: _cell(state, of_day, name) for name in regions},
                    finding=_finding(source.source, day, state),
                )
            )
    return days


def _state(source: SourceFacts, day: date, backups: Sequence[BackupFacts], *, judged: bool) -> DayState:
    if not judged:
        return "future"
    if source.expected_from is None or source.expected_until is None:
        return "never_backed_up"
    if not source.expected_from <= day <= source.expected_until:
        return "not_expected"
    statuses = {backup.status for backup in backups}
    if statuses & set(GOOD):
        return "covered"
    if statuses & set(_REFUSED):
        return "refused"
    if statuses & set(_UNFINISHED):
        return "unfinished"
    return "failed" if statuses else "missing"


def _cell(state: DayState, backups: Sequence[BackupFacts], region: str) -> CellState:
    if state in ("future", "not_expected"):
        return "future" if state == "future" else "not_expected"
    if state != "covered":
        return "refused" if state == "refused" else "none"
    there = [c.state for b in backups if b.status in GOOD for c in b.copies if c.region == region]
    if not there:
        return "not_planned"
    return "verified" if "verified" in there else "lacking"


def _finding(source: str, day: date, state: DayState) -> str | None:
    if state in GAPS:
        return missing_key(source, day)
    return never_key(source) if state == "never_backed_up" else None


def missing_key(source: str, day: date) -> str:
    """The key of the finding that `source` has no backup of `day`."""
    return f"{MISSING}/{source}/{day.isoformat()}"


def never_key(source: str) -> str:
    """The key of the finding that `source` is configured and was never tried."""
    return f"{NEVER}/{source}"


def with_coverage(expected: Sequence[SourceFacts], days: Sequence[DayFacts]) -> list[SourceFacts]:
    """The sources with their covered days counted."""
    covered: dict[str, int] = {}
    for day in days:
        covered[day.source] = covered.get(day.source, 0) + (day.state == "covered")
    return [s.model_copy(update={"covered_days": covered.get(s.source, 0)}) for s in expected]


def region_order(configured: Sequence[str], rows: Collection[Mapping[str, Any]]) -> list[str]:
    """Names of regions: those configured, in their order, then any that only backups know."""
    seen = {copy["region"] for row in rows for copy in row["copies"]} | {
        name for row in rows for name in row["planned"]
    }
    return [*configured, *sorted(seen - set(configured))]
