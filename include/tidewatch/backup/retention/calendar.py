"""Days, ISO weeks, months and years of a time zone, as numbers that follow one another."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from tidewatch.core.retention import Generation


def index_of(generation: Generation, day: date) -> int:
    """Which period `day` lies in; the next period has the next number."""
    if generation == "daily":
        return day.toordinal()
    if generation == "weekly":
        return (day.toordinal() - 1) // 7  # day 1 of the calendar was a Monday
    if generation == "monthly":
        return day.year * 12 + day.month - 1
    return day.year


def first_day(generation: Generation, index: int) -> date:
    """The first day of a period: the inverse of `index_of`."""
    if generation == "daily":
        return date.fromordinal(index)
    if generation == "weekly":
        return date.fromordinal(index * 7 + 1)
    if generation == "monthly":
        return date(index // 12, index % 12 + 1, 1)
    return date(index, 1, 1)


def name_of(generation: Generation, index: int) -> str:
    """As people write it: 2026-11-22, 2026-W47, 2026-11, 2026."""
    day = first_day(generation, index)
    if generation == "daily":
        return day.isoformat()
    if generation == "weekly":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    return f"{day:%Y-%m}" if generation == "monthly" else f"{day:%Y}"


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    """The date on the calendars of the zone."""
    return moment.astimezone(zone).date()


def begins(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins in the zone, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
