"""A region is away for days: what it misses costs the others nothing, and comes back by healing."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from backup_rig import MIB, Rig

from tidewatch.backup.heal import heal
from tidewatch.core.objectstore import ObjectStore
from tidewatch.core.regions import Region
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault import catalogue
from tidewatch.vault.layout import region_key


@pytest.fixture
def media(rig: Rig, tmp_path: Path) -> Path:
    rig.regions = [Region(r.config, replace(r.address, attempts=1, connect_timeout_s=1)) for r in rig.regions]
    root = tmp_path / "media"
    root.mkdir()
    (root / "old").write_bytes(os.urandom(6 * MIB))
    rig.files_source("media", root)
    return root


def _whole_everywhere(rig: Rig, backup_id: str) -> None:
    assert rig.get(backup_id).status == "sealed"
    entries = rig.manifest_in(rig.regions[0], backup_id).objects
    for region in rig.regions:
        assert rig.manifest_in(region, backup_id).objects == entries
        for entry in entries:
            key = region_key(region.config.prefix, entry.key)
            assert region.store.head(key).size == entry.cipher_size
            assert len(rig.plain(region, entry)) == entry.plain_size
    with rig.ctx.connect() as conn:
        assert {c.state for c in catalogue.copies(conn, backup_id)} == {"verified"}


def test_a_region_that_is_down_for_three_days_makes_nobody_send_anything_twice(
    rig: Rig, media: Path, region_servers: list[LocalRegion]
) -> None:
    region_servers[2].stop()
    days = [rig.back_up("media", "day-1")]
    for day in (2, 3):
        (media / f"day-{day}").write_bytes(os.urandom(MIB))
        rig.configure(
            "cn-south", required=day < 3
        )  # somebody loses patience: the same holds for an optional one
        days.append(rig.back_up("media", f"day-{day}"))
    assert [d.verdict for d in days] == ["degraded", "degraded", "sealed"]
    assert all(list(d.missing) == ["cn-south"] for d in days)
    assert days[0].new_stored_bytes > 6 * MIB
    for day in days[1:]:
        assert MIB < day.new_stored_bytes < MIB + 100_000
    region_servers[2].start()
    rig.regions[2].store.__dict__.pop("client", None)
    # Back, and not yet healed: still nothing is sent twice.
    (media / "day-4").write_bytes(os.urandom(MIB))
    days.append(rig.back_up("media", "day-4"))
    assert days[3].new_stored_bytes < MIB + 100_000 and list(days[3].missing) == ["cn-south"]
    assert "no such object" in days[3].missing["cn-south"]
    for day in reversed(days):  # in any order
        assert heal(rig.ctx, day.backup_id).problems == {}
    for day in days:
        _whole_everywhere(rig, day.backup_id)
    last = rig.back_up("media", "day-5")
    assert last.verdict == "sealed" and not last.missing and last.new_stored_bytes == 0


def test_a_region_that_is_new_gets_the_old_contents_by_healing(rig: Rig, media: Path) -> None:
    south = rig.regions.pop()
    assert rig.back_up("media", "day-1").verdict == "sealed"
    rig.regions.append(south)
    second = rig.back_up("media", "day-2")
    assert second.new_stored_bytes == 0 and list(second.missing) == ["cn-south"]
    heal(rig.ctx, second.backup_id)
    _whole_everywhere(rig, second.backup_id)


def test_what_only_one_of_the_living_regions_has_is_sent_again(
    rig: Rig, media: Path, region_servers: list[LocalRegion]
) -> None:
    for server in region_servers[1:]:
        server.stop()
    rig.back_up("media", "day-1")
    second = rig.back_up("media", "day-2")
    assert list(second.verified) == ["cn-east"] and second.new_stored_bytes == 0, "it is all that lives"
    region_servers[1].start()
    rig.regions[1].store.__dict__.pop("client", None)
    third = rig.back_up("media", "day-3")
    assert sorted(third.verified) == ["cn-east", "cn-north"]
    assert third.new_stored_bytes > 6 * MIB, "one copy is not enough to build on"


def test_wrong_bytes_under_a_key_are_sent_again_under_another_once_they_are_found(
    rig: Rig, media: Path
) -> None:
    first = rig.back_up("media", "day-1")
    [entry] = rig.get(first.backup_id).manifest.objects
    east = rig.regions[0]
    wrong = os.urandom(entry.cipher_size)
    east.store.put(region_key(east.config.prefix, entry.key), wrong, if_absent=False)
    second = rig.back_up("media", "day-2")
    assert second.verdict == "degraded" and "SHA-256" in second.missing["cn-east"]
    for _ in range(2):
        assert list(heal(rig.ctx, second.backup_id).problems) == ["cn-east"]
    assert rig.get(first.backup_id).status == "degraded", "the first one's copy is as wrong"
    assert rig.kinds(second.backup_id).count("copy.failed") == 2, "told once by the backup, once by healing"
    third = rig.back_up("media", "day-3")
    assert third.verdict == "sealed" and third.new_stored_bytes > 6 * MIB
    assert {o.backup_id for o in rig.get(third.backup_id).manifest.objects} == {third.backup_id}


def _loses_everything(rig: Rig, server: LocalRegion) -> None:
    """What is locked cannot be deleted: the region gets a bucket that is new and empty."""
    bucket = f"t-{os.urandom(8).hex()}"
    server.create_bucket(bucket)
    rig.configure(server.name, bucket=bucket)


def test_an_object_that_two_regions_lost_is_sent_again_and_one_that_one_lost_is_healed(
    rig: Rig, media: Path, region_servers: list[LocalRegion]
) -> None:
    rig.back_up("media", "day-1")
    _loses_everything(rig, region_servers[0])
    second = rig.back_up("media", "day-2")
    assert second.new_stored_bytes == 0 and list(second.missing) == ["cn-east"]
    heal(rig.ctx, second.backup_id)
    _whole_everywhere(rig, second.backup_id)
    for server in region_servers[:2]:
        _loses_everything(rig, server)
    third = rig.back_up("media", "day-3")
    assert third.verdict == "sealed" and third.new_stored_bytes > 6 * MIB


def test_regions_that_cannot_be_listed_decide_nothing(
    rig: Rig, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.back_up("media", "day-1")
    from tidewatch.core.errors import RegionRefused

    def refused(self: ObjectStore, prefix: str) -> object:
        raise RegionRefused("no listing", expected="a listing", found="403", do="allow it")

    monkeypatch.setattr(ObjectStore, "list", refused)
    second = rig.back_up("media", "day-2")
    assert second.verdict == "sealed" and second.new_stored_bytes == 0
