"""Time is a parameter. The wall clock is read here and only at the edge (Dags, CLI, console)."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present, aware, in UTC."""
    return datetime.now(UTC)


def require_utc(moment: datetime) -> datetime:
    """`moment` in UTC; a naive time is refused because nobody can say which hour it means."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone was given; pass an aware datetime")
    return moment.astimezone(UTC)


def iso(moment: datetime) -> str:
    """RFC 3339 with microseconds and Z, one spelling for one instant: `2026-11-22T16:00:00.000000Z`."""
    return require_utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
