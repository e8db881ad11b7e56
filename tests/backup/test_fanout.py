"""The fan-out: same bytes everywhere, whatever their number."""

import base64
import os
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidewatch.backup.fanout import MIB, FanOut, Pace, Uploaded
from tidewatch.core.errors import AlreadyExists, ObjectMissing, RegionUnavailable
from tidewatch.core.objectstore import ObjectStore, Stored
from tidewatch.core.regions import Region

PART = 5 * MIB


def _body(region: Region, key: str) -> bytes:
    return b"".join(region.store.get(key))


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 7])
def test_every_size_around_a_part_boundary_arrives_whole(three_regions: list[Region], size: int) -> None:
    data = os.urandom(size)
    with FanOut(three_regions, "t/boundary", part_size=PART) as fan:
        fan.write(data)
        outcome = fan.finish()
    assert fan.size == size
    for region in three_regions:
        assert outcome[region.name] == Uploaded(
            region.name,
            "t/boundary",
            region.store.head("t/boundary").version_id,
            region.store.head("t/boundary").etag,
            size,
        )
        assert _body(region, "t/boundary") == data


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 2 * PART), max_size=6), total=st.integers(0, 2 * PART))
def test_the_size_of_the_writes_does_not_show_in_the_object(
    three_regions: list[Region], cuts: list[int], total: int
) -> None:
    data = os.urandom(total)
    key = f"t/{os.urandom(8).hex()}"
    edges = [0, *sorted(c for c in cuts if c <= total), total]
    with FanOut(three_regions[:1], key, part_size=PART) as fan:
        for start, end in pairwise(edges):
            fan.write(data[start:end])
        fan.finish()
    assert _body(three_regions[0], key) == data


def test_the_composite_checksum_is_the_one_that_stores_report(three_regions: list[Region]) -> None:
    with FanOut(three_regions, "t/composite", part_size=PART) as fan:
        fan.write(os.urandom(2 * PART + 100))
        fan.finish()
    assert fan.part_size == PART and fan.composite_sha256 is not None
    reported = three_regions[0].store.head("t/composite").checksum_sha256
    if reported is not None:  # a store may keep none; ours does
        assert base64.b64decode(reported.partition("-")[0]).hex() == fan.composite_sha256


def test_an_aborted_object_is_visible_nowhere(three_regions: list[Region]) -> None:
    with FanOut(three_regions, "t/aborted", part_size=PART) as fan:
        fan.write(os.urandom(2 * PART + 5))
    for region in three_regions:
        with pytest.raises(ObjectMissing):
            region.store.head("t/aborted")
        uploads = region.store.client.list_multipart_uploads(Bucket=region.config.bucket)
        assert not uploads.get("Uploads")


def test_each_region_gets_the_key_under_its_own_prefix(three_regions: list[Region]) -> None:
    keys = {r.name: f"{r.name}/object" for r in three_regions}
    with FanOut(three_regions, keys) as fan:
        fan.write(b"content")
        fan.finish()
    assert [_body(r, keys[r.name]) for r in three_regions] == [b"content"] * 3


def test_a_lost_answer_to_a_write_that_landed_counts_as_landed(
    three_regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ObjectStore.put

    def put_then_refuse(self: ObjectStore, key: str, body: bytes, **options: object) -> Stored:
        real(self, key, body)
        raise AlreadyExists("taken", expected="free", found="an object", do="nothing")

    monkeypatch.setattr(ObjectStore, "put", put_then_refuse)
    with FanOut(three_regions, "t/lost") as fan:
        fan.write(b"x" * 10)
        outcome = fan.finish()
    assert all(isinstance(o, Uploaded) and o.version_id for o in outcome.values())


def test_an_unforeseen_error_in_one_lane_is_that_lanes_failure_alone(
    three_regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ObjectStore.put

    def broken(self: ObjectStore, key: str, body: bytes, **options: object) -> Stored:
        if self.region == "cn-north":
            raise ZeroDivisionError
        return real(self, key, body)

    monkeypatch.setattr(ObjectStore, "put", broken)
    with FanOut(three_regions, "t/bug") as fan:
        fan.write(b"x")
        outcome = fan.finish()
    assert [type(o).__name__ for o in outcome.values()] == ["Uploaded", "Dropped", "Uploaded"]


def test_without_any_region_writing_fails_at_once() -> None:
    with FanOut([], {}) as fan, pytest.raises(RegionUnavailable, match="No region is left"):
        fan.write(b"x")
        fan.finish()


def test_progress_tells_bytes_rate_and_the_state_of_each_region(three_regions: list[Region]) -> None:
    told: list[Pace] = []
    with FanOut(three_regions, "t/progress", part_size=PART, progress=told.append, progress_seconds=0) as fan:
        fan.write(os.urandom(3 * PART))
        fan.finish()
    assert told[-1].written_bytes == 3 * PART
    sentence = told[-1].sentence()
    assert "15.7 MB at" in sentence and all(r.name in sentence for r in three_regions)


def test_with_no_queue_a_part_is_filled_while_the_one_before_is_sent(three_regions: list[Region]) -> None:
    data = os.urandom(3 * PART + 1)
    with FanOut(three_regions, "t/lockstep", part_size=PART, queue_parts=0) as fan:
        for start in range(0, len(data), MIB):
            fan.write(data[start : start + MIB])
            assert all(region.queued <= 1 for region in fan.pace().regions)
        fan.finish()
    for region in three_regions:
        assert _body(region, "t/lockstep") == data
