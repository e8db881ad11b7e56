"""How fast a region may be written to and read from, by the time of day.

A limit holds for everything that one process sends to a region and reads from it: all uploads and all
read-backs share one bucket of tokens. Several processes each have a limit of their own.
"""

import itertools
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ConfigDict, Field, field_validator

from tidewatch.core.clock import Clock, require_utc, utc_now
from tidewatch.core.config import Strict

LEAST = 16_000
"""Bytes a second. Slower than that, stores give up requests that do not move."""
_DAY = 24 * 60
_UNITS = {"kB/s": 10**3, "MB/s": 10**6, "GB/s": 10**9, "KiB/s": 2**10, "MiB/s": 2**20, "GiB/s": 2**30}
_SLICE_S = 1.0
"""A waiting request looks this often whether the hour has changed."""


class BandwidthRule(Strict):
    """From this time of day to that one, at most so many bytes a second."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: str = Field(alias="from")
    """`HH:MM`. A range whose end is not after its beginning goes over midnight."""
    to: str
    limit: str
    """A number and kB/s, MB/s, GB/s, KiB/s, MiB/s or GiB/s."""

    @field_validator("start", "to", mode="before")
    @classmethod
    def _time(cls, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|24:00", value):
            # Without quotes, YAML reads 20:00 as the number 1200.
            raise ValueError('a time of day such as "08:00", in quotes')
        return value

    @field_validator("limit")
    @classmethod
    def _rate(cls, value: str) -> str:
        bytes_per_second(value)
        return value


def bytes_per_second(text: str) -> float:
    """`20 MB/s` in bytes a second. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kKMG]i?B/s)", text.strip())
    if found is None or found.group(2) not in _UNITS:
        raise ValueError("a number and one of " + ", ".join(_UNITS) + ", such as 20 MB/s")
    rate = float(found.group(1)) * _UNITS[found.group(2)]
    if rate < LEAST:
        raise ValueError(f"at least {LEAST // 1000} kB/s; a region that is to get less is better left out")
    return rate


@dataclass(frozen=True)
class Schedule:
    """Limits by the time of day in one zone: (first minute, minute after the last, bytes a second)."""

    zone: str
    ranges: tuple[tuple[int, int, float], ...]

    def limit_at(self, when: datetime) -> float | None:
        """Bytes a second at that moment, None without a limit. The hour that summer time repeats counts
        twice, the one it skips never: what counts is what a clock on the wall shows."""
        local = require_utc(when).astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        return next((rate for start, end, rate in self.ranges if start <= minute < end), None)


def schedule(rules: Sequence[BandwidthRule], zone: str) -> Schedule | None:
    """The rules as a schedule, None without rules. Raises ValueError for an unknown zone, an empty range and
    for ranges that overlap."""
    if not rules:
        return None
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"a time zone such as Asia/Shanghai, not {zone}") from None
    ranges: list[tuple[int, int, float]] = []
    for rule in rules:
        start, end, rate = _minute(rule.start), _minute(rule.to), bytes_per_second(rule.limit)
        if start in (end, _DAY):
            raise ValueError('a range has two different times; the whole day is from "00:00" to "24:00"')
        ranges += [(start, end, rate)] if start < end else [(start, _DAY, rate), (0, end, rate)]
    ranges = sorted(r for r in ranges if r[0] < r[1])
    for (_, end, _), (start, _, _) in itertools.pairwise(ranges):
        if start < end:
            raise ValueError(f"ranges that do not overlap; two hold at {start // 60:02d}:{start % 60:02d}")
    return Schedule(zone, tuple(ranges))


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


class Limiter:
    """A bucket of tokens, one a byte, that threads share. In any stretch of time no more passes than the rate
    allows plus one `burst`."""

    def __init__(
        self,
        limit: Callable[[], float | None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`limit` gives the bytes a second that hold now, None without a limit."""
        self._limit = limit
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = 0.0
        self._filled_at = monotonic()
        self._waiting = 0
        self._waiting_since = 0.0
        self._held = 0.0

    def block(self) -> int:
        """How many bytes to ask for at once: small steps at a low rate, so that connections stay alive."""
        rate = self._limit()
        return 1 << 20 if rate is None else _burst(rate)

    def take(self, size: int) -> None:
        """Wait until `size` bytes may pass."""
        while size > 0:
            size -= self._pass(size)

    def held_back(self) -> float:
        """Seconds during which at least one request waited for this limit, since the beginning."""
        with self._lock:
            running = self._monotonic() - self._waiting_since if self._waiting else 0.0
            return self._held + running

    def _pass(self, size: int) -> int:
        """Wait for the next step of at most `size` bytes; how many it were."""
        step, wait = self._try(size)
        if step:
            return step
        with self._lock:
            if not self._waiting:
                self._waiting_since = self._monotonic()
            self._waiting += 1
        try:
            while not step:
                self._sleep(min(wait, _SLICE_S))
                step, wait = self._try(size)
            return step
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._held += self._monotonic() - self._waiting_since

    def _try(self, size: int) -> tuple[int, float]:
        """Bytes that pass now, or 0 and the seconds until some do."""
        rate = self._limit()
        with self._lock:
            now = self._monotonic()
            since, self._filled_at = now - self._filled_at, now
            if rate is None:
                self._tokens = 0.0
                return size, 0.0
            burst = _burst(rate)
            self._tokens = min(burst, self._tokens + rate * max(since, 0.0))
            step = min(size, burst)
            if self._tokens < step:
                return 0, max((step - self._tokens) / rate, 0.001)
            self._tokens -= step
            return step, 0.0


def _burst(rate: float) -> int:
    return int(min(1 << 20, max(4096, rate / 10)))


_limiters: dict[tuple[str, Schedule], Limiter] = {}
_registering = threading.Lock()


def limiter_of(region: str, plan: Schedule | None, clock: Clock = utc_now) -> Limiter | None:
    """The one limiter of a region in this process; None without a limit."""
    if plan is None:
        return None
    with _registering:
        return _limiters.setdefault((region, plan), Limiter(lambda: plan.limit_at(clock())))
