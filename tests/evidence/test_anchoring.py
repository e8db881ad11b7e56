"""The signed head of the ledger in real regions: written once, locked, read back, also when one is down."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from ledger_tools import NOW, add

from tidewatch.core.anchorkeys import anchor_key, parse_anchor_key
from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import AlreadyExists, IntegrityError, LedgerError, RegionRefused
from tidewatch.core.regions import Region
from tidewatch.core.signing import SigningKey
from tidewatch.core.writeonce import write_once
from tidewatch.evidence.anchor import sign_head
from tidewatch.evidence.anchoring import FINDING, anchor, newest_anchors, open_anchor
from tidewatch.evidence.findings import open_findings
from tidewatch.evidence.ledger import head, records, verify
from tidewatch.evidence.record import Head
from tidewatch.local.s3 import LocalRegion

KEY = SigningKey.generate()
DAY = timedelta(days=1)


@pytest.fixture
def conn(warehouse: str) -> Iterator[Connection]:
    with connect(warehouse, application_name="tests") as connection:
        add(connection, 1)
        connection.commit()
        yield connection


def keys_in(region: Region) -> list[str]:
    return [row.key for row in region.store.list(f"{region.config.prefix}/")]


def found_in(region: Region, **more: Any) -> list[int]:
    found, problems = newest_anchors(region, KEY.public, **more)
    assert problems == []
    return [each.signed.seq for each in found]


def test_the_head_lies_in_every_region_locked_and_the_ledger_says_so(
    conn: Connection, three_regions: list[Region]
) -> None:
    pinned = head(conn)
    conn.commit()
    done = anchor(conn, three_regions, KEY, NOW, "daily")
    assert done is not None
    assert (done.head, done.missing) == (pinned, {})
    for region in three_regions:
        target = anchor_key(region.config.prefix, pinned.seq, pinned.hash)
        assert keys_in(region) == [target]
        assert open_anchor(region.store.read(target), KEY.public).head == pinned
        shown = region.store.head(target)
        assert shown.lock_mode == "COMPLIANCE"
        assert shown.retain_until is not None
        assert shown.retain_until >= NOW + timedelta(days=400)
        with pytest.raises(RegionRefused):
            region.store.delete(target, shown.version_id)
    record = list(records(conn))[-1]
    assert (record.kind, record.body["seq"], record.body["hash"]) == ("ledger.anchored", 1, pinned.hash)
    assert [p["state"] for p in record.body["places"]] == ["verified"] * 3
    assert open_findings(conn) == []


def test_anchoring_again_writes_nothing_anew_and_a_newer_head_beside_it(
    conn: Connection, three_regions: list[Region]
) -> None:
    anchor(conn, three_regions, KEY, NOW, "daily")
    before = [list(r.store.list_versions("")) for r in three_regions]
    again = anchor(conn, three_regions, KEY, NOW + timedelta(hours=1), "daily")
    assert again is not None
    assert again.head.seq == 1, "the record of an anchor is not anchored by itself: that would never end"
    assert again.missing == {}
    assert [list(r.store.list_versions("")) for r in three_regions] == before
    add(conn, 2)
    conn.commit()
    assert anchor(conn, three_regions, KEY, NOW + DAY, "daily") is not None
    assert [found_in(r) for r in three_regions] == [[4]] * 3
    assert [len(keys_in(r)) for r in three_regions] == [2] * 3
    assert verify(conn).ok


def test_a_region_that_is_down_stops_no_other_and_is_a_finding_until_it_has_one(
    conn: Connection, three_regions: list[Region], region_servers: list[LocalRegion]
) -> None:
    region_servers[1].stop()
    done = anchor(conn, three_regions, KEY, NOW, "daily")
    assert done is not None
    assert list(done.missing) == ["cn-north"]
    (told,) = open_findings(conn, kind=FINDING)
    assert (told.region, told.key) == ("cn-north", f"{FINDING}/cn-north")
    conn.commit()
    region_servers[1].start()
    healed = anchor(conn, three_regions, KEY, NOW + DAY, "daily")
    assert healed is not None
    assert healed.missing == {}
    assert open_findings(conn) == []
    assert [found_in(r) for r in three_regions] == [[healed.head.seq]] * 3


def test_killed_between_the_regions_and_the_record_it_is_done_again_without_a_trace(
    conn: Connection, three_regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("tidewatch.evidence.anchoring.append", _killed)
        with pytest.raises(KeyboardInterrupt):
            anchor(conn, three_regions, KEY, NOW, "daily")
    assert [r.kind for r in records(conn)] == ["test.fact"]
    conn.commit()
    done = anchor(conn, three_regions, KEY, NOW + timedelta(minutes=5), "daily")
    assert done is not None
    assert done.missing == {}
    assert [len(keys_in(r)) for r in three_regions] == [1] * 3
    assert [r.kind for r in records(conn)] == ["test.fact", "ledger.anchored"]


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_what_may_still_be_rolled_back_is_not_anchored(conn: Connection, three_regions: list[Region]) -> None:
    add(conn, 2)
    with pytest.raises(LedgerError, match="inside of a transaction"):
        anchor(conn, three_regions, KEY, NOW, "daily")
    assert [keys_in(r) for r in three_regions] == [[], [], []]


def test_an_empty_ledger_has_nothing_to_anchor(warehouse: str, three_regions: list[Region]) -> None:
    with connect(warehouse, application_name="tests") as conn:
        assert anchor(conn, three_regions, KEY, NOW, "daily") is None


def test_two_at_once_leave_one_anchor(warehouse: str, conn: Connection, three_regions: list[Region]) -> None:
    ready = threading.Barrier(2)
    missing: list[dict[str, str]] = []

    def one(hours: int) -> None:
        with connect(warehouse, application_name="tests") as own:
            ready.wait()
            done = anchor(own, three_regions, KEY, NOW + timedelta(hours=hours), "daily")
            assert done is not None
            missing.append(done.missing)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == [{}, {}]
    assert [len(list(r.store.list_versions(""))) for r in three_regions] == [1] * 3


def test_a_bucket_without_locks_is_told_although_the_anchor_lies_there(
    conn: Connection,
    region_servers: list[LocalRegion],
    local_region_factory: Callable[..., Region],
) -> None:
    region_servers[0].client().create_bucket(Bucket="unlocked")
    done = anchor(conn, [local_region_factory(region_servers[0], "unlocked")], KEY, NOW, "daily")
    assert done is not None
    assert list(done.missing) == ["cn-east"]
    assert [f.kind for f in open_findings(conn)] == [FINDING]


def test_a_store_that_takes_a_lock_and_keeps_none_is_told(
    conn: Connection, three_regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(three_regions[0].store, "set_retention", lambda *_: None)
    done = anchor(conn, three_regions, KEY, NOW, "daily")
    assert done is not None
    assert list(done.missing) == ["cn-east"]
    assert "no lock" in done.missing["cn-east"]


def test_a_lock_that_somebody_else_has_just_made_longer_is_no_failure(
    conn: Connection, three_regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = three_regions[0].store
    real = store.set_retention

    def overtaken(key: str, version: str | None, mode: str, until: datetime) -> None:
        real(key, version, mode, until + timedelta(hours=1))
        real(key, version, mode, until)

    monkeypatch.setattr(store, "set_retention", overtaken)
    done = anchor(conn, three_regions, KEY, NOW, "daily")
    assert done is not None
    assert done.missing == {}


def test_two_that_gave_way_to_each_other_try_again(
    conn: Connection, three_regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def gives_way_once(store: Any, key: str, body: bytes) -> str | None:
        tries.append(key)
        if len(tries) == 1:
            raise AlreadyExists("x", expected="x", found="x", do="x")
        return write_once(store, key, body)

    monkeypatch.setattr("tidewatch.evidence.anchoring.write_once", gives_way_once)
    done = anchor(conn, three_regions[:1], KEY, NOW, "daily")
    assert done is not None
    assert (done.missing, len(tries)) == ({}, 2)


# -- reading -----------------------------------------------------------------------------------------------


def put(region: Region, key: str, body: bytes) -> None:
    region.store.client.put_object(Bucket=region.config.bucket, Key=key, Body=body)


def test_an_anchor_below_a_delete_marker_or_below_other_bytes_still_counts(
    conn: Connection, three_regions: list[Region]
) -> None:
    anchor(conn, three_regions, KEY, NOW, "daily")
    one, two, _ = three_regions
    one.store.delete(keys_in(one)[0])
    found, problems = newest_anchors(one, KEY.public)
    assert ([f.hidden for f in found], problems) == ([True], [])
    (target,) = keys_in(two)
    put(two, target, b"{}")
    found, problems = newest_anchors(two, KEY.public)
    assert [(f.hidden, f.signed.seq) for f in found] == [(True, 1)]
    assert len(problems) == 1
    assert "has not its form" in problems[0]


def test_what_is_no_genuine_anchor_is_told_and_hides_none_below_it(
    conn: Connection, three_regions: list[Region]
) -> None:
    anchor(conn, three_regions, KEY, NOW, "daily")
    region = three_regions[0]
    forged = sign_head(Head(9, "f" * 64), SigningKey.generate(), NOW)
    put(region, anchor_key("tidewatch", 9, "f" * 64), forged.model_dump_json().encode())
    (real,) = (k for k in keys_in(region) if k.endswith(f"-{head(conn).hash[:16]}.json") or "1-" in k)
    put(region, anchor_key("tidewatch", 8, "e" * 64), region.store.read(real))
    put(region, "tidewatch/anchors/readme.txt", b"not ours")
    found, problems = newest_anchors(region, KEY.public)
    assert [f.signed.seq for f in found] == [1]
    assert len(problems) == 2
    assert "another key" in problems[0]
    assert "is the anchor of record 1" in problems[1]


def test_both_ends_of_a_fork_are_given(three_regions: list[Region]) -> None:
    region = three_regions[0]
    for digest in ("a" * 64, "b" * 64):
        signed = sign_head(Head(5, digest), KEY, NOW)
        from tidewatch.core.canonical import canonical_bytes

        put(region, anchor_key("tidewatch", 5, digest), canonical_bytes(signed.model_dump(mode="json")))
    assert found_in(region) == [5, 5]


def test_anchors_of_a_chain_that_was_lost_do_not_hide_those_of_the_one_after_it(
    conn: Connection, three_regions: list[Region]
) -> None:
    from tidewatch.core.canonical import canonical_bytes

    anchor(conn, three_regions, KEY, NOW, "daily")
    region = three_regions[0]
    old = sign_head(Head(500, "a" * 64), KEY, NOW - DAY)
    put(region, anchor_key("tidewatch", 500, "a" * 64), canonical_bytes(old.model_dump(mode="json")))
    assert found_in(region) == [500]
    assert found_in(region, after=NOW - DAY) == [1]
    assert found_in(region, after=NOW + DAY) == [500]


def test_an_anchor_in_another_spelling_is_none() -> None:
    signed = sign_head(Head(5, "a" * 64), KEY, NOW)
    with pytest.raises(IntegrityError, match="not its form"):
        open_anchor(signed.model_dump_json(indent=1).encode(), KEY.public)
    with pytest.raises(IntegrityError, match="not its form"):
        open_anchor(b"[" * 100_000, KEY.public)


def test_keys_say_what_they_hold_and_nothing_else_is_an_anchor() -> None:
    key = anchor_key("a/b", 12, "0123456789abcdef" * 4)
    name = parse_anchor_key("a/b", key)
    assert name is not None
    assert (name.seq, name.hash16) == (12, "0123456789abcdef")
    for other in (key + "x", f"x{key}", key.replace("anchors", "anchor"), key.replace("12-", "1-")):
        assert parse_anchor_key("a/b", other) is None
    assert parse_anchor_key("a", key) is None
    assert replace(name) == name
