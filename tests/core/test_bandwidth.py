"""Bandwidth limits: by the clock on the wall, never exceeded, shared by all who use a region."""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatch.backup.fanout import MIB, FanOut, Uploaded
from tidewatch.backup.lane import Lane, Whole
from tidewatch.core.bandwidth import BandwidthRule, Limiter, Schedule, bytes_per_second, limiter_of, schedule
from tidewatch.core.config import read_yaml
from tidewatch.core.errors import ConfigError
from tidewatch.core.objectstore import ObjectStore, Stored
from tidewatch.core.regions import Region, RegionsFile

MB = 1_000_000


def plan(zone: str, *ranges: tuple[str, str, str]) -> Schedule:
    made = schedule([BandwidthRule(start=a, to=b, limit=c) for a, b, c in ranges], zone)
    assert made is not None
    return made


# -- what holds when ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [("20 MB/s", 20e6), ("1.5MiB/s", 1.5 * 2**20), ("16 kB/s", 16e3), ("2 GB/s", 2e9), ("64 KiB/s", 65536)],
)
def test_a_rate_is_read_with_its_unit(text: str, rate: float) -> None:
    assert bytes_per_second(text) == rate


@pytest.mark.parametrize("text", ["20", "20 Mb/s", "20 MB", "-1 MB/s", "1 kB/s", "fast", "0 MB/s"])
def test_a_rate_that_could_mean_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="kB/s"):
        bytes_per_second(text)


@pytest.mark.parametrize(
    ("utc", "limit"),
    [
        ("2026-06-01T06:59", None),  # 08:59 in Berlin
        ("2026-06-01T07:00", 2 * MB),
        ("2026-06-01T15:59", 2 * MB),
        ("2026-06-01T16:00", None),
        ("2026-06-01T20:00", 5 * MB),  # 22:00, over midnight
        ("2026-06-01T23:59", 5 * MB),
        ("2026-06-02T03:59", 5 * MB),
        ("2026-06-02T04:00", None),
        ("2026-12-01T07:59", None),  # an hour later in winter
        ("2026-12-01T08:00", 2 * MB),
        # The night of 25 October 2026 repeats 02:00 to 03:00, that of 29 March skips it.
        ("2026-10-25T03:59", 5 * MB),
        ("2026-10-25T04:59", 5 * MB),
        ("2026-10-25T05:00", None),
        ("2026-03-29T03:59", 5 * MB),
        ("2026-03-29T04:00", None),
    ],
)
def test_the_clock_on_the_wall_decides_also_over_midnight_and_summer_time(
    utc: str, limit: float | None
) -> None:
    made = plan("Europe/Berlin", ("09:00", "18:00", "2 MB/s"), ("22:00", "06:00", "5 MB/s"))
    assert made.limit_at(datetime.fromisoformat(utc).replace(tzinfo=UTC)) == limit


def test_a_whole_day_and_a_range_to_midnight_have_no_gap() -> None:
    day = plan("Asia/Shanghai", ("00:00", "24:00", "1 MB/s"))
    evening = plan("Asia/Shanghai", ("20:00", "00:00", "1 MB/s"), ("00:00", "08:00", "2 MB/s"))
    for minute in range(24 * 60):
        when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        local = (when + timedelta(hours=8)).hour
        assert day.limit_at(when) == MB
        assert evening.limit_at(when) == (MB if local >= 20 else 2 * MB if local < 8 else None)


def in_file(tmp_path: Path, bandwidth: str, zone: str = "Asia/Shanghai") -> RegionsFile:
    path = tmp_path / "regions.yaml"
    path.write_text(
        "policy_id: P\npolicy_version: '1'\nresidency: {public: [CN]}\nregions:\n"
        "  - name: cn-east\n    connection: c\n    bucket: bucket\n    jurisdiction: CN\n"
        f"    timezone: {zone}\n    bandwidth: {bandwidth}\n"
    )
    return read_yaml(path, RegionsFile)


def test_the_limits_of_a_region_are_read_from_its_file(tmp_path: Path) -> None:
    file = in_file(tmp_path, '[{from: "08:00", to: "20:00", limit: 20 MB/s}]')
    assert [(r.start, r.to, r.limit) for r in file.regions[0].bandwidth] == [("08:00", "20:00", "20 MB/s")]


@pytest.mark.parametrize(
    ("bandwidth", "zone", "words"),
    [
        ('[{from: "08:00", to: "20:00", limit: 1 MB/s}, {from: "19:59", to: "21:00", limit: 2 MB/s}]', "UTC",
         "do not overlap; two hold at 19:59"),
        ('[{from: "22:00", to: "06:00", limit: 1 MB/s}, {from: "05:00", to: "07:00", limit: 2 MB/s}]', "UTC",
         "do not overlap; two hold at 05:00"),
        ('[{from: "08:00", to: "08:00", limit: 1 MB/s}]', "UTC", "two different times"),
        ("[{from: 08:00, to: 20:00, limit: 1 MB/s}]", "UTC", "in quotes"),
        ('[{from: "8:00", to: "20:00", limit: 1 MB/s}]', "UTC", "a time of day"),
        ('[{from: "08:00", to: "20:00", limit: 1 Mbit}]', "UTC", "a number and one of"),
        ('[{from: "08:00", to: "20:00", limit: 1 MB/s}]', "Mars/Olympus", "a time zone such as"),
        ('[{from: "08:00", limit: 1 MB/s}]', "UTC", "to"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_limits_is_told_with_what_was_expected(
    tmp_path: Path, bandwidth: str, zone: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        in_file(tmp_path, bandwidth, zone)


# -- the bucket --------------------------------------------------------------------------------------------


class Hours:
    """A clock that only sleeping moves, and work between."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@given(
    rate=st.sampled_from([16_000.0, 100_000.0, 1e6, 2.5e7, 1e9]),
    wishes=st.lists(st.tuples(st.integers(0, 3 * MIB), st.floats(0, 3)), min_size=1, max_size=12),
)
def test_in_no_stretch_of_time_passes_more_than_the_rate_and_one_burst(
    rate: float, wishes: list[tuple[int, float]]
) -> None:
    hours = Hours()
    passed: list[tuple[float, int]] = []

    class Watched(Limiter):
        def _pass(self, size: int) -> int:
            step = super()._pass(size)
            passed.append((hours.now, step))
            return step

    limiter = Watched(lambda: rate, monotonic=hours, sleep=hours.sleep)
    for size, pause in wishes:
        limiter.take(size)
        hours.now += pause
    assert sum(n for _, n in passed) == sum(size for size, _ in wishes)
    burst = limiter.block()
    sampled = passed[:: max(1, len(passed) // 60)]
    for begin, _ in sampled:
        total = 0
        for when, size in passed:
            if when >= begin:
                total += size
                assert total <= rate * (when - begin) + burst * 1.0001


def test_a_limit_that_begins_or_ends_in_the_middle_is_obeyed_within_a_second() -> None:
    hours = Hours()
    limits: list[tuple[float, float | None]] = [(1000.0, 100_000.0), (1010.0, None)]
    limiter = Limiter(
        lambda: next(rate for since, rate in reversed(limits) if hours.now >= since),
        monotonic=hours,
        sleep=hours.sleep,
    )
    limiter.take(100 * MB)
    assert 1010.0 <= hours.now <= 1011.1
    assert 9.0 <= limiter.held_back() <= 11.1
    limits.append((hours.now, 100_000.0))
    before = hours.now
    limiter.take(1 * MB)
    assert 9.5 <= hours.now - before <= 10.5, "time without a limit is not saved up"


def test_threads_share_one_limit() -> None:
    """Real time: four threads together take at least as long as the rate demands."""
    limiter = Limiter(lambda: 8e6)
    began = time.monotonic()
    threads = [threading.Thread(target=limiter.take, args=(MB,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= (4 * MB - limiter.block()) / 8e6
    assert limiter.held_back() > 0.2


def test_one_process_has_one_limiter_a_region(
    region_servers: list[Any], local_region_factory: Callable[..., Region]
) -> None:
    rules = [{"from": "00:00", "to": "24:00", "limit": "4 MB/s"}]
    name = f"limited-{os.urandom(4).hex()}"
    regions = [
        local_region_factory(region_servers[0], "bucket", name=name, bandwidth=rules) for _ in range(2)
    ]
    assert regions[0].store.limiter is regions[1].store.limiter is not None
    assert local_region_factory(region_servers[0], "bucket").store.limiter is None
    assert limiter_of(name, None) is None


def test_an_upload_and_its_reading_back_keep_to_the_limit_and_others_do_not_wait(
    three_regions: list[Region], region_servers: list[Any], local_region_factory: Callable[..., Region]
) -> None:
    bucket = three_regions[0].config.bucket
    slow = local_region_factory(
        region_servers[0],
        bucket,
        name=f"limited-{os.urandom(4).hex()}",
        bandwidth=[{"from": "00:00", "to": "24:00", "limit": "5 MB/s"}],
    )
    data = os.urandom(6 * MIB)
    began = time.monotonic()
    with FanOut([slow, three_regions[1]], "t/limited", part_size=5 * MIB) as fan:
        fan.write(data)
        outcome = fan.finish()
    assert all(isinstance(o, Uploaded) for o in outcome.values())
    assert time.monotonic() - began >= (len(data) - MIB) / 5e6
    began = time.monotonic()
    assert b"".join(slow.store.get("t/limited")) == data
    assert time.monotonic() - began >= (len(data) - MIB) / 5e6
    assert slow.store.held_back() > 0 and three_regions[1].store.held_back() == 0


def test_time_that_our_own_limit_takes_is_no_silence_of_the_region() -> None:
    class Held:
        """A store whose upload hangs, for a while because of our own limit."""

        held, begun, go_on = 0.0, threading.Event(), threading.Event()

        def held_back(self) -> float:
            return self.held

        def put(self, *_: object, **__: object) -> Stored:
            self.begun.set()
            self.go_on.wait(30)
            return Stored("v", "e")

    hours, store, changed = Hours(), Held(), threading.Condition()
    lane = Lane("r", cast("ObjectStore", store), "k", limit=1, changed=changed, monotonic=hours)
    with changed:
        lane.offer(Whole(b"x", b""))
    store.begun.wait(30)
    hours.now += 100
    store.held += 90
    with changed:
        assert lane.stalled_for() == 10 and lane.limited
    store.go_on.set()
    lane.join(30)
