"""Stores that lack what S3 promises: a backup there is right all the same, or says why it is none."""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from backup_rig import MIB, Rig, run_sql
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from weak_store import THE_WEAKEST, Said, Weaknesses, WeakStore, each_weakness, interleave

from tidewatch.backup.decide import decide
from tidewatch.backup.heal import heal
from tidewatch.backup.probe import learn, probe, probe_regions, probe_what_is_unknown
from tidewatch.backup.rebuild import rebuild
from tidewatch.backup.run import RunRef, commit, judge, stage
from tidewatch.core.database import migrate
from tidewatch.core.errors import AlreadyExists
from tidewatch.core.objectstore import ObjectStore
from tidewatch.core.regions import Region
from tidewatch.core.traits import UNKNOWN, StoreTraits
from tidewatch.core.writeonce import versions, write_once
from tidewatch.vault.layout import region_key
from tidewatch.vault.verify import verify_copy

RUN = RunRef(dag_id="tests", run_id="r")


@pytest.fixture
def stores() -> Iterator[ExitStack]:
    """Weak stores that end with the test."""
    with ExitStack() as stack:
        yield stack


def weaken(rig: Rig, stores: ExitStack, name: str, weak: Weaknesses, **config: object) -> WeakStore:
    """Put a weak store before the region `name` of the rig."""
    behind = next(r for r in rig.regions if r.name == name)
    store = stores.enter_context(WeakStore(behind, weak))
    rig.through(name, store.region(**config))
    return store


def media(rig: Rig, tmp_path: Path, size: int = 6 * MIB) -> str:
    """A source whose content takes an upload in parts, and small ones that do not."""
    root = tmp_path / "media"
    root.mkdir()
    (root / "film").write_bytes(os.urandom(size))
    for n in range(10):
        (root / f"{n}.txt").write_bytes(b"small %d" % n)
    return rig.files_source("media", root)


def answers(region: Region, rig: Rig) -> dict[str, str]:
    return {a.question: a.answer for a in probe(region, rig.clock()).answers}


def assert_whole(rig: Rig, region: Region, backup_id: str) -> None:
    """The region alone proves the backup, byte by byte, and every key was written once."""
    report = verify_copy(region, backup_id, rig.keys.signing_key.public, now=rig.clock(), mode="full")
    assert report.ok, report.problem
    rows = [r for r in region.store.list_versions("") if f"/{backup_id}/" in r.key]
    assert rows and len(rows) == len({r.key for r in rows}) and not any(r.delete_marker for r in rows)


# -- what a probe finds ------------------------------------------------------------------------------------


GOOD = {
    "conditional writes": "honoured",
    "conditional completion of uploads": "honoured",
    "wrong checksum rejected": "yes",
    "wrong checksum of a part rejected": "yes",
    "checksums": "SHA-256, CRC64NVME, MD5 as ETag",
    "GetObjectAttributes": "yes",
    "versions listed": "yes",
    "unfinished uploads listed": "yes",
    "locked version undeletable": "yes",
    "undeletable with the header that lifts GOVERNANCE locks": "yes",
    "lock cannot be shortened": "yes",
    "lock can be set": "yes",
    "trailing checksums": "not asked",
}


def test_a_probe_asks_everything_and_leaves_one_locked_object(rig: Rig) -> None:
    region = rig.regions[0]
    report = probe(region, rig.clock())
    found = {a.question: a.answer for a in report.answers}
    assert {q: found.get(q) for q in GOOD} == GOOD
    assert report.usable and found["clock"] in {"+0 s", "+1 s", "-1 s", "-2 s"}
    assert report.traits == StoreTraits("honoured", "honoured", "checked", "checked")
    assert len(list(region.store.list_versions(""))) == 1 and not list(region.store.list_multiparts(""))


@pytest.mark.parametrize(
    ("weak", "differs", "traits", "lacking"),
    [
        (
            THE_WEAKEST,
            {
                "conditional writes": "ignored",
                "conditional completion of uploads": "ignored",
                "wrong checksum rejected": "no",
                "wrong checksum of a part rejected": "no",
                "checksums": "MD5 as ETag",
                "checksums at multipart": "ETag only",
                "GetObjectAttributes": "no",
                "lock headers kept at multipart": "no",
            },
            StoreTraits("ignored", "ignored", "ignored", "ignored"),
            [],
        ),
        (
            Weaknesses(refuses_conditions=True, refuses_checksums=True, bare_etags=True),
            {
                "conditional writes": "refused",
                "conditional completion of uploads": "refused",
                "wrong checksum rejected": "no",
                "wrong checksum of a part rejected": "no",
                "checksums": "MD5 as ETag",
            },
            StoreTraits("refused", "refused", "refused", "refused"),
            [],
        ),
        (
            Weaknesses(ignores_conditions=True, lists_no_versions=True),
            {
                "conditional writes": "ignored",
                "conditional completion of uploads": "ignored",
                "versions listed": "no",
            },
            StoreTraits("ignored", "ignored", "checked", "checked", ("versions listed",)),
            ["versions listed"],
        ),
        (
            Weaknesses(deletes_what_is_locked=True),
            {"locked version undeletable": "no"},
            StoreTraits("honoured", "honoured", "checked", "checked", ("locked version undeletable",)),
            ["locked version undeletable"],
        ),
        (
            Weaknesses(lifts_locks=True),
            {"undeletable with the header that lifts GOVERNANCE locks": "no"},
            None,
            ["undeletable with the header that lifts GOVERNANCE locks"],
        ),
        (
            Weaknesses(has_no_retention=True),
            {"object lock": "no", "lock can be set": "no", "locked version undeletable": "not asked"},
            None,
            ["object lock", "lock can be set", "locked version undeletable"],
        ),
    ],
    ids=["the weakest", "refuses", "lists nothing", "deletes", "lifts", "no retention"],
)
def test_a_probe_finds_each_weakness(
    rig: Rig,
    stores: ExitStack,
    weak: Weaknesses,
    differs: dict[str, str],
    traits: StoreTraits | None,
    lacking: list[str],
) -> None:
    weaken(rig, stores, "cn-east", weak)
    report = probe(rig.regions[0], rig.clock())
    found = {a.question: a.answer for a in report.answers}
    asked = {q: a for q, a in (GOOD | differs).items() if q in found or q in differs}
    assert {q: found.get(q) for q in asked} == asked
    assert report.lacking == lacking
    assert traits is None or report.traits == traits


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(days=-1), timedelta()], ids=str)
@pytest.mark.parametrize("silent", [False, True], ids=["with Date", "without Date"])
def test_the_clock_is_read_with_and_without_a_date_header(
    rig: Rig, stores: ExitStack, ahead: timedelta, silent: bool
) -> None:
    weaken(rig, stores, "cn-east", Weaknesses(ahead=ahead, tells_no_time=silent))
    found = {a.question: a for a in probe(rig.regions[0], rig.clock()).answers}["clock"]
    assert abs(int(found.answer.removesuffix(" s")) - ahead.total_seconds()) < 30
    assert not found.answer.startswith("-0") and found.ok is (not ahead)


def test_a_probe_is_made_when_there_is_no_fresh_one_of_this_place(rig: Rig, stores: ExitStack) -> None:
    probe_what_is_unknown(rig.ctx, rig.regions[:1])
    probe_what_is_unknown(rig.ctx, rig.regions[:1])
    assert rig.kinds() == ["region.probed"]
    with rig.ctx.connect() as conn:
        learn(rig.ctx, conn)
        assert rig.regions[0].store.traits.writes_once
        rig.clock.ahead = timedelta(days=3)
        learn(rig.ctx, conn)
        assert rig.regions[0].store.traits == UNKNOWN
        rig.clock.ahead = timedelta()
        weaken(rig, stores, "cn-east", THE_WEAKEST)  # the same name, another endpoint
        learn(rig.ctx, conn)
        assert rig.regions[0].store.traits == UNKNOWN
    probe_what_is_unknown(rig.ctx, rig.regions[:1])
    assert rig.kinds() == ["region.probed"] * 2


# -- backups that are right --------------------------------------------------------------------------------


def test_a_backup_to_three_of_the_weakest_stores_is_right_and_stays_right(
    rig: Rig, stores: ExitStack, tmp_path: Path, database: str
) -> None:
    """From the first probe over a decision to a catalogue that is lost and rebuilt from one region."""
    for region in list(rig.regions):
        weaken(rig, stores, region.name, THE_WEAKEST, read_back="checksum")
    probe_regions(rig.ctx)
    source = media(rig, tmp_path)
    outcome = rig.back_up(source)
    assert outcome.verdict == "sealed", outcome.missing
    manifest = rig.get(outcome.backup_id).manifest
    assert {o.mode for c in manifest.copies for o in c.objects} == {"full"}, "no checksum to trust"
    for region in rig.regions:
        assert_whole(rig, region, outcome.backup_id)
    for n in range(8):
        (tmp_path / "media" / f"{n}.txt").unlink()
    staged = stage(rig.ctx, source, RUN)
    assert not judge(rig.ctx, staged.backup_id).passed
    decide(rig.ctx, staged.backup_id, accept=True, by="Lin Wei", reason="old notes")
    assert rig.get(staged.backup_id).status == "accepted"
    for region in rig.regions:
        assert_whole(rig, region, staged.backup_id)
    was = {row.backup_id: row.status for row in (rig.get(outcome.backup_id), rig.get(staged.backup_id))}
    rig.warehouse = database
    with rig.ctx.connect() as conn:
        migrate(conn, rig.settings.sql_dir / "migrations")
    found = rebuild(rig.ctx, "cn-south", rig.ctx.ring)
    assert found.ok and found.adopted == 2, found
    assert {b: rig.get(b).status for b in was} == was


@pytest.mark.parametrize("weakness", each_weakness())
@pytest.mark.parametrize("probed", [True, False], ids=["probed", "unknown"])
def test_a_backup_to_a_store_with_one_weakness_is_right(
    rig: Rig, stores: ExitStack, tmp_path: Path, weakness: str, probed: bool
) -> None:
    if not probed and weakness.startswith("refuses"):
        pytest.skip("what a store refuses must be known before: the first backup probes")
    rig.regions = rig.regions[:1]
    weaken(rig, stores, "cn-east", Weaknesses(**{weakness: True}), read_back="checksum")
    if probed:
        probe_regions(rig.ctx)
    outcome = rig.back_up(media(rig, tmp_path))
    assert outcome.verdict == "sealed", outcome.missing
    assert_whole(rig, rig.regions[0], outcome.backup_id)


def test_a_table_in_the_weakest_store_is_healed_elsewhere_and_into_it(
    rig: Rig, stores: ExitStack, database: str
) -> None:
    run_sql(
        database, "create table t as select g, repeat(md5(g::text), 4) as x from generate_series(1, 2000) g"
    )
    weaken(rig, stores, "cn-east", THE_WEAKEST)
    north = weaken(rig, stores, "cn-north", THE_WEAKEST)
    probe_regions(rig.ctx)
    north.hook = lambda method, target: Said.error(403, "AccessDenied") if method in {"PUT", "POST"} else None
    outcome = rig.back_up(rig.postgres_source("orders", database))
    assert outcome.verdict == "degraded" and list(outcome.missing) == ["cn-north"]
    north.hook = lambda method, target: None
    assert heal(rig.ctx, outcome.backup_id).verdict == "sealed"
    for region in rig.regions:
        assert_whole(rig, region, outcome.backup_id)


# -- one key, two writers ----------------------------------------------------------------------------------


@pytest.fixture
def weakest(rig: Rig, stores: ExitStack) -> WeakStore:
    return weaken(rig, stores, "cn-east", THE_WEAKEST)


def contents(store: ObjectStore, key: str) -> list[bytes]:
    return [store.read(key, row.version_id) for row in versions(store, key)]


@pytest.mark.parametrize("weak", [Weaknesses(), THE_WEAKEST, Weaknesses(refuses_conditions=True)], ids=str)
def test_a_key_is_written_once_and_the_same_bytes_are_welcome(
    rig: Rig, stores: ExitStack, weak: Weaknesses
) -> None:
    weaken(rig, stores, "cn-east", weak)
    store = rig.regions[0].store
    store.traits = probe(rig.regions[0], rig.clock()).traits
    first = write_once(store, "k", b"ours")
    assert write_once(store, "k", b"ours") == first
    with pytest.raises(AlreadyExists):
        write_once(store, "k", b"other")
    assert contents(store, "k") == [b"ours"]


def test_a_foreign_object_that_arrives_while_we_write_leaves_nothing_of_ours(
    rig: Rig, weakest: WeakStore
) -> None:
    """Both came when the key was free: whoever sees the other takes its own back."""
    store, behind = rig.regions[0].store, weakest.behind.store

    def somebody_else(method: str, target: str) -> None:
        if method == "PUT":
            weakest.after = lambda method, target: None
            behind.put("k", b"theirs", if_absent=False)

    weakest.after = somebody_else
    with pytest.raises(AlreadyExists, match="something else under"):
        write_once(store, "k", b"ours")
    assert contents(store, "k") == [b"theirs"]


@given(st.lists(st.sampled_from([0, 1]), min_size=2, max_size=12), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_interleaving_of_two_writers_ends_with_at_most_one_content(
    rig: Rig, weakest: WeakStore, order: list[int], same: bool
) -> None:
    """Two writers on a store that ignores conditions, their requests in any order: never do both believe that
    different bytes of theirs are under the key, and who believes so is right."""
    key = f"race/{secrets.token_hex(8)}"
    wanted = (b"first", b"first" if same else b"other")
    claims = interleave(
        order, [lambda store, body=body: write_once(store, key, body) for body in wanted], rig.regions[0]
    )
    left = contents(rig.regions[0].store, key)
    believed = [wanted[n] for n, claim in enumerate(claims) if isinstance(claim, str)]
    assert len(set(believed)) <= 1 and len(set(left)) <= 1
    assert not believed or left == [believed[0]]
    if same:
        assert len(believed) == 2 and claims[0] == claims[1]


def test_a_writer_killed_between_writing_and_listing_is_followed_by_one_that_finds_its_object(
    rig: Rig, weakest: WeakStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = rig.regions[0].store
    real, asked = ObjectStore.list_versions, []

    def killed(self: ObjectStore, prefix: str) -> Any:
        asked.append(prefix)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(self, prefix)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "list_versions", killed)
        with pytest.raises(KeyboardInterrupt):
            write_once(store, "k", b"ours")
    (left,) = versions(store, "k")
    assert write_once(store, "k", b"ours") == left.version_id
    assert contents(store, "k") == [b"ours"]


def test_a_second_version_from_a_lost_answer_is_taken_back(rig: Rig, weakest: WeakStore) -> None:
    lost: list[str] = []

    def lose_the_first(method: str, target: str) -> Said | None:
        if method == "PUT" and not lost:
            lost.append(target)
            weakest.behind.store.put("k", b"ours")
            return Said.error(500, "InternalError")
        return None

    weakest.hook = lose_the_first
    store = rig.regions[0].store
    kept = write_once(store, "k", b"ours")
    assert [row.version_id for row in versions(store, "k")] == [kept]


def test_a_foreign_manifest_in_the_weakest_store_is_nothing_of_ours_and_is_told(
    rig: Rig, weakest: WeakStore, tmp_path: Path
) -> None:
    probe_regions(rig.ctx)
    source = media(rig, tmp_path, 10)
    staged = stage(rig.ctx, source, RUN)
    judge(rig.ctx, staged.backup_id)
    key = region_key("tidewatch", rig.get(staged.backup_id).manifest.path.manifest_key)
    weakest.behind.store.put(key, b"{}")
    outcome = commit(rig.ctx, staged.backup_id)
    assert outcome.verdict == "degraded" and "something else under" in outcome.missing["cn-east"]
    assert contents(weakest.behind.store, key) == [b"{}"]
    healed = heal(rig.ctx, staged.backup_id)
    assert healed.verdict == "degraded" and "something else under" in healed.problems["cn-east"]
    assert any("copy.damaged" in str(n) for n in rig.notices())


# -- delete markers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weak", [Weaknesses(), THE_WEAKEST], ids=["strong", "weakest"])
def test_a_delete_marker_between_upload_and_lock_is_removed_and_told(
    rig: Rig, stores: ExitStack, tmp_path: Path, weak: Weaknesses
) -> None:
    source = media(rig, tmp_path, 10)
    store = weaken(rig, stores, "cn-east", weak)
    probe_regions(rig.ctx)
    staged = stage(rig.ctx, source, RUN)
    for listed in list(store.behind.store.list("tidewatch/media")):
        store.behind.store.delete(listed.key)
    judge(rig.ctx, staged.backup_id)
    assert any("delete marker" in line and "cn-east" in line for line in rig.said)
    assert commit(rig.ctx, staged.backup_id).verdict == "sealed"
    assert_whole(rig, rig.regions[0], staged.backup_id)


def test_a_version_on_top_of_ours_is_told_and_never_sealed(rig: Rig, tmp_path: Path) -> None:
    source = media(rig, tmp_path, 10)
    staged = stage(rig.ctx, source, RUN)
    east = rig.regions[0].store
    (listed,) = east.list("tidewatch/media")
    east.put(listed.key, b"not ours", if_absent=False)
    judge(rig.ctx, staged.backup_id)
    outcome = commit(rig.ctx, staged.backup_id)
    assert outcome.verdict == "degraded" and "on top of it" in outcome.missing["cn-east"]


# -- stores that cannot be used ----------------------------------------------------------------------------


def always(said: Said, *methods: str, containing: str = "") -> Callable[[str, str], Said | None]:
    return lambda method, target: said if method in methods and containing in target else None


HTML = b"<html><body><h1>It works!</h1></body></html>"


@pytest.mark.parametrize(
    ("weak", "hook", "words"),
    [
        (Weaknesses(has_no_retention=True), None, r"did not lock .*NotImplemented"),
        (Weaknesses(has_no_versions=True), None, "the bucket has no versioning"),
        (Weaknesses(wrong_size=7), None, "size: expected"),
        (Weaknesses(cuts_downloads=True), None, "did not read"),
        (Weaknesses(ahead=timedelta(days=1)), None, "another time than this machine"),
        (Weaknesses(ahead=timedelta(days=1), tells_no_time=True), None, "another time than this machine"),
        (Weaknesses(), always(Said.error(503, "SlowDown"), "PUT", "POST"), "SlowDown"),
        (Weaknesses(), always(Said(200, HTML), "PUT", "POST"), "did not"),
        (Weaknesses(), always(Said(403, HTML), "PUT", "POST"), "HTTP 403"),
        (
            Weaknesses(),
            always(Said.error(405, "MethodNotAllowed"), "PUT", containing="retention"),
            "did not lock",
        ),
        (Weaknesses(), always(Said.error(301, "PermanentRedirect"), "PUT", "POST"), "PermanentRedirect"),
        (Weaknesses(), always(Said.error(403, "InvalidAccessKeyId"), "PUT", "POST"), "InvalidAccessKeyId"),
    ],
    ids=[
        "no retention",
        "no versions",
        "wrong size",
        "cut downloads",
        "a day ahead",
        "a day ahead in silence",
        "slow down",
        "a page for success",
        "a page for an error",
        "retention not allowed",
        "redirect",
        "credentials replaced",
    ],
)
def test_a_store_that_cannot_be_used_is_never_sealed_and_says_why(
    rig: Rig,
    stores: ExitStack,
    tmp_path: Path,
    weak: Weaknesses,
    hook: Callable[[str, str], Said | None] | None,
    words: str,
) -> None:
    rig.regions = rig.regions[:2]
    store = weaken(rig, stores, "cn-east", weak)
    if hook is not None:
        store.hook = hook
    outcome = rig.back_up(media(rig, tmp_path, 10))
    assert outcome.verdict == "degraded" and list(outcome.verified) == ["cn-north"]
    assert re.search(words, outcome.missing["cn-east"]), outcome.missing
    assert not any(r.delete_marker for r in store.behind.store.list_versions(""))


def test_a_region_that_was_found_unfit_is_sent_nothing_until_it_is_repaired(
    rig: Rig, stores: ExitStack, tmp_path: Path
) -> None:
    rig.regions = rig.regions[:2]
    store = weaken(rig, stores, "cn-east", Weaknesses(ahead=timedelta(days=1)))
    probe_what_is_unknown(rig.ctx)
    outcome = rig.back_up(media(rig, tmp_path, 10))
    assert outcome.verdict == "degraded" and "the last probe missed: clock" in outcome.missing["cn-east"]
    assert not [r for r in store.behind.store.list_versions("") if "/probes/" not in r.key]
    probe_what_is_unknown(rig.ctx)
    assert heal(rig.ctx, outcome.backup_id).verdict == "degraded"
    store.weak.ahead = timedelta()
    probe_what_is_unknown(rig.ctx)
    assert heal(rig.ctx, outcome.backup_id).verdict == "sealed"
    assert rig.kinds().count("region.probed") == 4


def test_credentials_that_expire_in_the_middle_cost_one_copy_until_they_are_replaced(
    rig: Rig, stores: ExitStack, tmp_path: Path
) -> None:
    rig.regions = rig.regions[:2]
    store = weaken(rig, stores, "cn-east", Weaknesses())
    parts: list[str] = []

    def expire(method: str, target: str) -> Said | None:
        parts.extend([target] if "partNumber" in target else [])
        return Said.error(400, "ExpiredToken") if len(parts) > 1 else None

    store.hook = expire
    outcome = rig.back_up(media(rig, tmp_path, 16 * MIB))
    assert outcome.verdict == "degraded" and list(outcome.verified) == ["cn-north"]
    assert "ExpiredToken" in outcome.missing["cn-east"]
    still = heal(rig.ctx, outcome.backup_id)
    assert still.verdict == "degraded" and "ExpiredToken" in still.problems["cn-east"]
    store.hook = lambda method, target: None  # what a replaced connection does; each task reads it anew
    assert heal(rig.ctx, outcome.backup_id).verdict == "sealed"
