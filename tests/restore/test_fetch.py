"""Objects on their way to this machine: from the first region that works, checked, going on after a kill."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drill_rig import Shop
from restore_desk import forked, newest

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from region_proxy import RegionProxy

from tidewatch.core.errors import IntegrityError, ObjectMissing, RegionError, RegionUnavailable
from tidewatch.core.objectstore import ObjectStore
from tidewatch.core.regions import Region
from tidewatch.restore import fetch as fetching
from tidewatch.restore.choose import Chosen
from tidewatch.restore.fetch import fetch, hashed
from tidewatch.vault.layout import region_key


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PART", 700)


@pytest.fixture
def chosen(shop: Shop) -> Chosen:
    return newest(shop.ctx, "shop")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(region, first byte) of every part that a region was asked for."""
    seen: list[tuple[str, int]] = []
    real = ObjectStore.get_range

    def get_range(self: ObjectStore, key: str, start: int, length: int, **more: Any) -> Any:
        seen.append((self.region, start))
        return real(self, key, start, length, **more)

    monkeypatch.setattr(ObjectStore, "get_range", get_range)
    return seen


def cover(monkeypatch: pytest.MonkeyPatch, name: str, key: str, change: Callable[[bytes], bytes]) -> None:
    """From now on the region shows other bytes there, as if a newer version covered it; the locked one is to
    be had by its version."""
    real_get, real_range = ObjectStore.get, ObjectStore.get_range

    def get(self: ObjectStore, wanted: str, version_id: str | None = None) -> Any:
        body = b"".join(real_get(self, wanted, version_id))
        yield change(body) if (self.region, wanted, version_id) == (name, key, None) else body

    def get_range(self: ObjectStore, wanted: str, start: int, length: int, **more: Any) -> Any:
        if (self.region, wanted, more["version_id"]) == (name, key, None):
            yield change(b"".join(real_get(self, wanted)))[start : start + length]
        else:
            yield from real_range(self, wanted, start, length, **more)

    monkeypatch.setattr(ObjectStore, "get", get)
    monkeypatch.setattr(ObjectStore, "get_range", get_range)


def flipped(body: bytes) -> bytes:
    return body[:900] + bytes([body[900] ^ 1]) + body[901:]


@pytest.mark.parametrize("part", [700, 1 << 24])
def test_every_object_comes_as_the_manifest_says(
    shop: Shop, chosen: Chosen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(fetching, "PART", part)
    got = fetch(shop.ctx, chosen, tmp_path)
    assert got.regions == ["cn-east"] and got.remarks == ()
    assert {o.path.name for o in got.objects.values()} == {o.cipher_sha256 for o in chosen.manifest.objects}
    assert all(hashed(o.path) == o.entry.cipher_sha256 for o in got.objects.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(o.path.name for o in got.objects.values())


@pytest.mark.parametrize("change", [flipped, lambda body: body[:-1]])
def test_other_bytes_are_never_used_and_the_next_region_is_asked_and_it_is_said(
    shop: Shop,
    chosen: Chosen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[bytes], bytes],
) -> None:
    monkeypatch.setattr(fetching, "PART", 1000)
    dump = chosen.manifest.objects[0]
    cover(monkeypatch, "cn-east", region_key(chosen.region.config.prefix, dump.key), change)
    with pytest.raises(IntegrityError, match="Region cn-east gave"):
        fetch(shop.ctx, chosen, tmp_path / "strict")
    assert not (tmp_path / "strict" / dump.cipher_sha256).exists()
    got = fetch(shop.ctx, chosen, tmp_path / "any", regions=shop.ctx.regions)
    assert got.objects[dump.key].region == "cn-north"
    assert hashed(got.objects[dump.key].path) == dump.cipher_sha256
    [remark] = got.remarks
    assert remark.startswith(
        "cn-east: dump.pgc.zst.age cannot be used, asking elsewhere: Region cn-east gave"
    )


@pytest.mark.parametrize("part", [700, 1 << 24])
@pytest.mark.parametrize("change", [flipped, lambda body: body[:-1], lambda body: body + b"x"])
def test_a_store_that_really_holds_other_bytes_is_found_out(
    shop: Shop,
    chosen: Chosen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[bytes], bytes],
    part: int,
) -> None:
    monkeypatch.setattr(fetching, "PART", part)
    monkeypatch.setattr(fetching, "OBJECTS_AT_ONCE", 1)
    prefix = f"other-{tmp_path.name}"
    dump, region = chosen.manifest.objects[0], chosen.region
    body = region.store.read(region_key(region.config.prefix, dump.key))
    region.store.put(region_key(prefix, dump.key), change(body))
    elsewhere = replace(region, config=region.config.model_copy(update={"prefix": prefix}))
    with pytest.raises((IntegrityError, RegionError)):
        fetch(shop.ctx, replace(chosen, region=elsewhere), tmp_path / "strict", objects=[dump.key])
    assert not (tmp_path / "strict" / dump.cipher_sha256).exists()


@pytest.mark.usefixtures("small_parts")
def test_what_covers_a_locked_object_everywhere_is_looked_under(
    shop: Shop, chosen: Chosen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = chosen.manifest.objects[0]
    for region in shop.ctx.regions:
        cover(monkeypatch, region.name, region_key(region.config.prefix, dump.key), flipped)
    got = fetch(shop.ctx, chosen, tmp_path, regions=shop.ctx.regions)
    assert hashed(got.objects[dump.key].path) == dump.cipher_sha256
    assert len(got.remarks) == 3


@pytest.mark.usefixtures("small_parts")
def test_a_region_that_goes_down_midway_keeps_its_parts_and_another_one_gives_the_rest(
    shop: Shop,
    chosen: Chosen,
    tmp_path: Path,
    asked: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "PARTS_AT_ONCE", 1)
    monkeypatch.setattr(fetching, "OBJECTS_AT_ONCE", 1)
    with RegionProxy(shop.rig.regions[0]) as proxy:
        proxy.after(3000, proxy.cut)
        broken = replace(chosen, region=proxy.region(attempts=1))
        with pytest.raises(RegionUnavailable):
            fetch(shop.ctx, broken, tmp_path / "strict")
        proxy.heal()
        proxy.after(proxy.forwarded + 3000, proxy.cut)
        asked.clear()
        got = fetch(shop.ctx, broken, tmp_path / "any", regions=shop.ctx.regions)
    starts = {name: [start for region, start in asked if region == name] for name in ("cn-east", "cn-north")}
    assert "cn-north" in got.regions and "cn-east" in got.remarks[0]
    assert 0 in starts["cn-east"] and 0 not in starts["cn-north"][:2], (
        "what was there was not asked for again"
    )


@pytest.mark.usefixtures("small_parts")
def test_killed_while_fetching_it_goes_on_with_the_parts_that_are_missing(
    shop: Shop, chosen: Chosen, tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    parts = -(-chosen.manifest.objects[0].cipher_size // 700)

    def killed() -> None:
        real, left = os.pwrite, [2 * (parts // 2)]

        def pwrite(descriptor: int, data: bytes, offset: int) -> int:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(descriptor, data, offset)

        os.pwrite = pwrite
        fetch(shop.ctx, chosen, tmp_path)

    assert os.WTERMSIG(forked(killed)) == signal.SIGKILL
    asked.clear()
    got = fetch(shop.ctx, chosen, tmp_path)
    assert all(hashed(o.path) == o.entry.cipher_sha256 for o in got.objects.values())
    all_parts = sum(-(-o.cipher_size // 700) for o in chosen.manifest.objects if o.cipher_size > 700)
    assert 0 < len(asked) < all_parts
    asked.clear()
    fetch(shop.ctx, chosen, tmp_path)
    assert asked == [], "what is complete is not fetched again"


@pytest.mark.usefixtures("small_parts")
def test_a_kept_object_or_part_that_rotted_is_fetched_anew(
    shop: Shop, chosen: Chosen, tmp_path: Path
) -> None:
    dump = chosen.manifest.objects[0]
    whole = fetch(shop.ctx, chosen, tmp_path).objects[dump.key].path
    whole.write_bytes(flipped(whole.read_bytes()))
    assert hashed(fetch(shop.ctx, chosen, tmp_path).objects[dump.key].path) == dump.cipher_sha256
    whole.rename(whole.with_suffix(".partial"))
    whole.with_suffix(".partial").write_bytes(b"\0" * dump.cipher_size)
    whole.with_suffix(".parts").write_bytes(b"11")  # a power cut kept the marks and lost the parts
    assert hashed(fetch(shop.ctx, chosen, tmp_path).objects[dump.key].path) == dump.cipher_sha256


def test_an_object_that_is_nowhere_is_an_error_of_its_own(shop: Shop, chosen: Chosen, tmp_path: Path) -> None:
    region: Region = chosen.region
    elsewhere = replace(region, config=region.config.model_copy(update={"prefix": "nothing-here"}))
    with pytest.raises(ObjectMissing, match="nothing-here"):
        fetch(shop.ctx, replace(chosen, region=elsewhere), tmp_path)
    assert fetch(shop.ctx, replace(chosen, region=elsewhere), tmp_path, regions=shop.ctx.regions).remarks
