"""A month of days, by the clock of one time zone, and how much of it is over."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from tidewatch.core.clock import require_utc
from tidewatch.core.errors import ConfigError
from tidewatch.evidence.report.config import zone_of

_MONTH = re.compile(r"^([0-9]{4})-(0[1-9]|1[0-2])$")


@dataclass(frozen=True)
class Period:
    """`since` and `until` are the month's first and last midnight, UTC; `cut` is the last midnight that has
    passed: days after it are not judged, facts after it are not told."""

    month: str
    timezone: str
    days: tuple[date, ...]
    since: datetime
    until: datetime
    cut: datetime

    @property
    def judged(self) -> tuple[date, ...]:
        """The days that are over."""
        return tuple(day for day in self.days if self.midnight(day + timedelta(days=1)) <= self.cut)

    @property
    def complete(self) -> bool:
        return self.cut == self.until

    def midnight(self, day: date) -> datetime:
        """When `day` begins, UTC."""
        return _midnight(day, self.timezone)

    def day_of(self, moment: datetime) -> date:
        """The day on which `moment` falls here."""
        return moment.astimezone(zone_of(self.timezone)).date()


def period_of(month: str, timezone: str, now: datetime) -> Period:
    """The month `yyyy-mm` as far as it is over at `now`. Raises ConfigError for anything that is no month,
    and for one of which no day is over."""
    match = _MONTH.fullmatch(month)
    if match is None or not "1970" <= match[1] <= "2999":
        raise ConfigError(
            f"{month[:20]!r} is not a month",
            expected="yyyy-mm, such as 2026-11",
            found=repr(month[:20]),
            do="give the year with four digits and the month with two",
        )
    first = date(int(match[1]), int(match[2]), 1)
    after = (first + timedelta(days=32)).replace(day=1)
    days = tuple(first + timedelta(days=n) for n in range((after - first).days))
    since, until = _midnight(first, timezone), _midnight(after, timezone)
    today = require_utc(now).astimezone(zone_of(timezone)).date()
    cut = min(until, _midnight(today, timezone))
    if cut <= since:
        raise ConfigError(
            f"No day of {month} is over yet",
            expected=f"a month that began before {today.isoformat()} ({timezone})",
            found=month,
            do="ask again when its first day is over, or give an earlier month",
        )
    return Period(month, timezone, days, since, until, cut)


def month_of(moment: datetime, timezone: str) -> str:
    """The month `yyyy-mm` in which `moment` falls there."""
    return f"{moment.astimezone(zone_of(timezone)):%Y-%m}"


def _midnight(day: date, timezone: str) -> datetime:
    # Where a clock change skips midnight, the zone's rules name the first moment after it.
    return datetime.combine(day, time(), zone_of(timezone)).astimezone(UTC)
