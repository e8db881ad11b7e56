"""One spelling for one instant, and sizes that people can read."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tidewatch.core.clock import iso, require_utc, utc_now
from tidewatch.core.progress import human_bytes


def test_one_instant_has_one_spelling() -> None:
    shanghai = datetime(2026, 11, 23, 0, 0, tzinfo=timezone(timedelta(hours=8)))
    assert iso(shanghai) == iso(shanghai.astimezone(UTC)) == "2026-11-22T16:00:00.000000Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        require_utc(datetime(2026, 11, 22))  # noqa: DTZ001 - the point


def test_the_present_is_in_utc() -> None:
    assert utc_now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (38_140_000, "38.1 MB"),
        (2.5e15, "2.5 PB"),
    ],
)
def test_sizes_are_readable(count: float, text: str) -> None:
    assert human_bytes(count) == text
