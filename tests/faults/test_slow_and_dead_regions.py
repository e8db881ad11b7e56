"""One region that is slow, silent or dead must cost the others no more than the bound, and say why."""

import hashlib
import os
import time
import tracemalloc

import pytest
from region_proxy import RegionProxy

from tidewatch.backup.fanout import MIB, Dropped, FanOut, Outcome, Uploaded
from tidewatch.core.errors import ObjectMissing, RegionUnavailable
from tidewatch.core.regions import Region

PART = 5 * MIB
BLOCK = os.urandom(MIB)


def _send(fan: FanOut, size: int) -> tuple[dict[str, Outcome], str]:
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        fan.write(BLOCK)
        digest.update(BLOCK)
    return fan.finish(), digest.hexdigest()


def _sha256_in(region: Region, key: str) -> str:
    digest = hashlib.sha256()
    for block in region.store.get(key):
        digest.update(block)
    return digest.hexdigest()


def test_a_region_that_falls_silent_is_left_behind_and_the_others_have_every_byte(
    three_regions: list[Region],
) -> None:
    east, north, south = three_regions
    with RegionProxy(south) as proxy:
        proxy.after(7 * MIB, proxy.hang)
        started = time.monotonic()
        with FanOut(
            [east, north, proxy.region()], "t/silent", part_size=PART, queue_parts=1, stall_seconds=5
        ) as fan:
            outcome, sha256 = _send(fan, 40 * MIB)
        elapsed = time.monotonic() - started
    left = outcome["cn-south"]
    assert isinstance(left, Dropped)
    assert "left behind" in left.reason and "no answer for" in left.reason
    for region in (east, north):
        assert isinstance(outcome[region.name], Uploaded)
        assert _sha256_in(region, "t/silent") == sha256
    with pytest.raises(ObjectMissing):
        south.store.head("t/silent")
    assert elapsed < 25


def test_a_region_that_drips_may_only_double_the_time(three_regions: list[Region]) -> None:
    east, north, south = three_regions
    with RegionProxy(south) as proxy:
        proxy.throttle(5 * MIB)  # 100 MiB would take 20 s and more
        started = time.monotonic()
        with FanOut(
            [east, north, proxy.region()],
            "t/drip",
            part_size=PART,
            queue_parts=1,
            stall_seconds=4.0,
            max_drag=0.5,
        ) as fan:
            outcome, sha256 = _send(fan, 100 * MIB)
        elapsed = time.monotonic() - started
    assert isinstance(outcome["cn-south"], Dropped)
    assert "kept the source waiting" in outcome["cn-south"].reason
    assert _sha256_in(east, "t/drip") == sha256
    assert elapsed < 16


def test_a_region_that_is_slower_within_the_bound_keeps_its_copy(three_regions: list[Region]) -> None:
    east, north, south = three_regions
    with RegionProxy(south) as proxy:
        proxy.throttle(20 * MIB)
        with FanOut([east, north, proxy.region()], "t/slow", part_size=PART, stall_seconds=20) as fan:
            outcome, sha256 = _send(fan, 30 * MIB)
    assert all(isinstance(o, Uploaded) for o in outcome.values())
    assert _sha256_in(south, "t/slow") == sha256


def test_a_region_that_cuts_its_connections_is_named_with_the_reason(three_regions: list[Region]) -> None:
    east, north, south = three_regions
    with RegionProxy(south) as proxy:
        proxy.after(6 * MIB, proxy.cut)
        with FanOut([east, north, proxy.region(attempts=2)], "t/cut", part_size=PART, queue_parts=2) as fan:
            outcome, sha256 = _send(fan, 20 * MIB)
    left = outcome["cn-south"]
    assert isinstance(left, Dropped)
    assert "cn-south" in left.reason and "Error" in left.reason
    assert _sha256_in(north, "t/cut") == sha256


def test_a_short_interruption_is_bridged_by_retries(three_regions: list[Region]) -> None:
    east, north, south = three_regions
    with RegionProxy(south) as proxy:

        def stumble() -> None:
            proxy.cut()
            proxy.heal()

        proxy.after(6 * MIB, stumble)
        with FanOut([east, north, proxy.region()], "t/stumble", part_size=PART) as fan:
            outcome, sha256 = _send(fan, 20 * MIB)
    assert all(isinstance(o, Uploaded) for o in outcome.values())
    assert _sha256_in(south, "t/stumble") == sha256


def test_when_no_region_is_left_the_write_fails_and_names_them_all(three_regions: list[Region]) -> None:
    proxies = [RegionProxy(r) for r in three_regions]
    try:
        for proxy in proxies:
            proxy.after(6 * MIB, proxy.cut)
        with (
            FanOut([p.region(attempts=1) for p in proxies], "t/none", part_size=PART, queue_parts=1) as fan,
            pytest.raises(RegionUnavailable, match="No region is left") as caught,
        ):
            _send(fan, 60 * MIB)
    finally:
        for proxy in proxies:
            proxy.__exit__(None, None, None)
    assert all(r.name in caught.value.found for r in three_regions)


def test_memory_is_bounded_by_the_queue_while_a_region_is_slow(three_regions: list[Region]) -> None:
    east, north, south = three_regions
    with RegionProxy(south) as proxy:
        regions = [east, north, proxy.region()]
        for region in regions:
            region.store.describe()  # the client's own tables are not what is measured
        proxy.throttle(25 * MIB)
        tracemalloc.start()
        try:
            with FanOut(regions, "t/memory", part_size=PART, queue_parts=2, stall_seconds=30) as fan:
                _send(fan, 80 * MIB)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # queue + one in flight + the one being filled, and its copy into the part
    assert peak < (2 + 1 + 2) * PART + 12 * MIB
