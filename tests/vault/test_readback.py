"""Reading back from real S3 servers: every way an object can differ is named."""

import base64
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from vault_samples import backup_id, entry, sha

from tidewatch.core.errors import RegionError
from tidewatch.core.objectstore import Address
from tidewatch.core.regions import Region
from tidewatch.vault.manifest import ObjectEntry
from tidewatch.vault.readback import Mode, read_back

# Locks are kept by the servers' own clocks, so these times are near the present.
NOW = datetime.now(UTC).replace(microsecond=0)
UNTIL = NOW + timedelta(days=1)
KEY = f"tidewatch/{entry(backup_id(1)).key}"
PART = 5 << 20


def expected(body: bytes, **more: Any) -> ObjectEntry:
    facts = {"cipher_size": len(body), "cipher_sha256": hashlib.sha256(body).hexdigest()}
    return entry(backup_id(1)).model_copy(update=facts | more)


def store(region: Region, body: bytes, *, until: datetime | None = UNTIL) -> str | None:
    version = region.store.put(KEY, body).version_id
    if until is not None:
        region.store.set_retention(KEY, version, region.config.lock_mode, until)
    return version


def store_in_parts(region: Region, body: bytes) -> ObjectEntry:
    upload = region.store.multipart(KEY)
    digests = []
    for number, start in enumerate(range(0, len(body), PART), start=1):
        part = body[start : start + PART]
        digests.append(hashlib.sha256(part).digest())
        upload.part(number, part, digests[-1])
    version = upload.complete().version_id
    region.store.set_retention(KEY, version, region.config.lock_mode, UNTIL)
    composite = hashlib.sha256(b"".join(digests)).hexdigest()
    return expected(body, part_size=PART, composite_sha256=composite)


MODES = pytest.mark.parametrize("mode", ["full", "checksum"])


@MODES
def test_an_object_that_is_as_it_should_be_is_ok(three_regions: list[Region], mode: Mode) -> None:
    body = os.urandom(100_000)
    version = store(three_regions[0], body)
    answer = read_back(three_regions[0], KEY, expected(body), UNTIL, mode, now=NOW)
    assert (answer.ok, answer.problem) == (True, None)
    assert (answer.key, answer.size, answer.version_id) == (KEY, 100_000, version)
    assert (answer.lock_mode, answer.retain_until) == ("COMPLIANCE", UNTIL)
    assert (answer.read_at, answer.mode) == (NOW, mode)
    assert answer.sha256 == hashlib.sha256(body).hexdigest()


@MODES
def test_an_object_uploaded_in_parts_is_ok_by_its_parts(three_regions: list[Region], mode: Mode) -> None:
    body = os.urandom(PART + 1000)
    wanted = store_in_parts(three_regions[0], body)
    answer = read_back(three_regions[0], KEY, wanted, UNTIL, mode, now=NOW)
    assert (answer.ok, answer.problem, answer.mode) == (True, None, mode)
    assert answer.sha256 == (wanted.composite_sha256 if mode == "checksum" else wanted.cipher_sha256)


@MODES
def test_a_wrong_part_is_found(three_regions: list[Region], mode: Mode) -> None:
    body = os.urandom(PART + 1000)
    wanted = store_in_parts(three_regions[0], body)
    other = wanted.model_copy(update={"cipher_sha256": sha("x"), "composite_sha256": sha("y")})
    answer = read_back(three_regions[0], KEY, other, UNTIL, mode, now=NOW)
    assert not answer.ok
    assert answer.problem is not None
    assert answer.problem.startswith(f"SHA-256 ({mode}): expected {sha('y' if mode == 'checksum' else 'x')}")


@pytest.mark.parametrize("missing", ["composite", "checksum"])
def test_without_a_checksum_to_compare_it_falls_back_to_reading_everything_and_says_so(
    three_regions: list[Region], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = three_regions[0]
    body = os.urandom(PART + 1000)
    wanted = store_in_parts(region, body)
    if missing == "composite":
        wanted = wanted.model_copy(update={"composite_sha256": None})
    else:  # a store that knows no checksum but its ETag
        head = region.store.head
        monkeypatch.setattr(region.store, "head", lambda *a: replace(head(*a), checksum_sha256=None))
    answer = read_back(region, KEY, wanted, UNTIL, "checksum", now=NOW)
    assert (answer.ok, answer.mode, answer.sha256) == (True, "full", wanted.cipher_sha256)


@MODES
def test_every_difference_is_named_with_what_was_expected_and_found(
    three_regions: list[Region], mode: Mode
) -> None:
    body = b"other bytes"
    store(three_regions[0], body, until=None)
    wanted = expected(b"the right bytes")
    answer = read_back(three_regions[0], KEY, wanted, UNTIL, mode, now=NOW)
    least = UNTIL.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert answer.problem is not None
    assert answer.problem.split("; ") == [
        "size: expected 15 bytes, found 11",
        f"SHA-256 ({mode}): expected {wanted.cipher_sha256}, found {hashlib.sha256(body).hexdigest()}",
        "lock mode: expected COMPLIANCE, found none",
        f"retain until: expected {least} or later, found none",
    ]
    assert not answer.ok


@pytest.mark.parametrize(("days", "ok"), [(-1, False), (0, True), (30, True)])
def test_a_lock_must_last_at_least_as_long_as_asked_for(
    three_regions: list[Region], days: int, ok: bool
) -> None:
    until = UNTIL + timedelta(days=2)
    store(three_regions[0], b"x", until=until + timedelta(days=days))
    answer = read_back(three_regions[0], KEY, expected(b"x"), until, "full", now=NOW)
    assert answer.ok is ok
    assert ("retain until: expected" in (answer.problem or "")) is not ok


@pytest.mark.parametrize(
    ("wanted", "given", "ok"), [("COMPLIANCE", "GOVERNANCE", False), ("GOVERNANCE", "COMPLIANCE", True)]
)
def test_a_weaker_lock_mode_is_refused_and_a_stronger_one_is_welcome(
    three_regions: list[Region], wanted: str, given: str, ok: bool
) -> None:
    region = three_regions[0]
    version = store(region, b"x", until=None)
    region.store.set_retention(KEY, version, given, UNTIL)
    strict = Region(region.config.model_copy(update={"lock_mode": wanted}), region.address)
    answer = read_back(strict, KEY, expected(b"x"), UNTIL, "full", now=NOW)
    assert answer.ok is ok
    assert answer.problem == (None if ok else "lock mode: expected COMPLIANCE, found GOVERNANCE")


def test_a_missing_object_is_an_answer(three_regions: list[Region]) -> None:
    answer = read_back(three_regions[0], KEY, expected(b"x"), UNTIL, "full", now=NOW)
    assert (answer.ok, answer.size, answer.sha256) == (False, None, None)
    assert answer.problem == "object: expected 1 bytes, found no such object"


def test_a_version_that_another_one_hides_is_no_copy(three_regions: list[Region]) -> None:
    region = three_regions[0]
    first = store(region, b"ours")
    assert read_back(region, KEY, expected(b"ours"), UNTIL, "full", now=NOW, version_id=first).ok
    on_top = region.store.put(KEY, b"ours", if_absent=False).version_id
    answer = read_back(region, KEY, expected(b"ours"), UNTIL, "full", now=NOW, version_id=first)
    assert f"version: expected {first}, found {on_top} on top of it" in (answer.problem or "")
    region.store.delete(KEY)
    answer = read_back(region, KEY, expected(b"ours"), UNTIL, "full", now=NOW, version_id=first)
    assert f"found no such object (version {first} was written there)" in (answer.problem or "")


def test_bytes_that_changed_in_the_store_are_found_by_reading_them(
    three_regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that rots: its recorded checksum is still right, its bytes are not."""
    region = three_regions[0]
    store(region, b"right")
    monkeypatch.setattr(region.store, "get", lambda *a: iter([b"wro", b"n"]))
    answer = read_back(region, KEY, expected(b"right"), UNTIL, "full", now=NOW)
    assert answer.problem is not None
    assert "bytes read: expected 5, found 4" in answer.problem
    assert f"found {hashlib.sha256(b'wron').hexdigest()}" in answer.problem


def test_a_region_that_does_not_answer_is_an_error_and_no_verdict(
    three_regions: list[Region], unused_port: Callable[[], int]
) -> None:
    region = three_regions[0]
    address: Address = replace(
        region.address, endpoint_url=f"http://127.0.0.1:{unused_port()}", attempts=1, connect_timeout_s=1
    )
    with pytest.raises(RegionError) as caught:
        read_back(Region(region.config, address), KEY, expected(b"x"), UNTIL, "full", now=NOW)
    assert caught.value.retryable


@pytest.fixture
def unused_port() -> Callable[[], int]:
    import socket

    def find() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return int(listener.getsockname()[1])

    return find


def test_the_checksum_is_the_stores_own_and_not_a_guess(three_regions: list[Region]) -> None:
    """What the checksum mode relies on: the store gives back the SHA-256 that was checked at upload."""
    store(three_regions[0], b"x")
    recorded = three_regions[0].store.head(KEY).checksum_sha256
    assert recorded == base64.b64encode(hashlib.sha256(b"x").digest()).decode()
