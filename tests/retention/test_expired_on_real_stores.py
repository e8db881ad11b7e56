"""What expires goes from real regions, nothing half visible; what is kept stays whole."""

import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from backup_rig import run_sql
from history_rig import HistoryRig

from tidewatch.backup import sweep
from tidewatch.backup.decide import decide
from tidewatch.backup.heal import heal
from tidewatch.backup.lock import backup_lock, source_lock
from tidewatch.backup.retention.expire import extend_locks, mark, preview
from tidewatch.backup.retention.holds import confirm, place
from tidewatch.backup.retention.remove import Removed, remove
from tidewatch.core.errors import Busy, ConfigError, IntegrityError, NotFound, RegionError
from tidewatch.core.objectstore import ObjectStore
from tidewatch.core.regions import Region
from tidewatch.evidence import ledger
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault import catalogue, contents
from tidewatch.vault.layout import region_key
from tidewatch.vault.manifest import open_manifest
from tidewatch.vault.verify import verify_copy

REBUILT: dict[str, Any] = {
    "policy": {"id": "p", "version": "1"},
    "place": {"region": "cn-east", "provider": "s3", "bucket": "b", "jurisdiction": "CN"},
    "manifests": 3,
    "adopted": 3,
    "known": 0,
    "decisions": 0,
    "copies": 0,
    "adopted_sha256": "0" * 64,
    "refused": 0,
    "problems": [],
    "heads_before": 1,
    "chain_before": {"seq": 7, "hash": "0" * 64, "key_id": "k", "backup_id": "b"},
}
"""What a rebuild records when the ledger was lost with the database."""


class Killed(BaseException):
    """kill -9: nothing of ours runs afterwards."""


def _whole(rig: HistoryRig, backup_id: str) -> None:
    for region in rig.regions:
        report = verify_copy(region, backup_id, rig.keys.signing_key.public, now=rig.clock())
        assert report.manifest is not None and [o.problem for o in report.objects if o.size is None] == []


def _nothing_is_half_visible(rig: HistoryRig, region: Region) -> int:
    """Every manifest that a plain reading shows has all its objects; returns how many there are."""
    there = {listed.key for listed in region.store.list("")}
    manifests = [key for key in there if key.endswith("/manifest.json")]
    for key in manifests:
        manifest = open_manifest(region.store.read(key), rig.keys.signing_key.public)
        assert {region_key(region.config.prefix, o.key) for o in manifest.objects} <= there, key
    return len(manifests)


def _bodies(rig: HistoryRig, kind: str) -> list[dict[str, Any]]:
    rows = rig.query("select entry from evidence.ledger where kind = %s order by seq", kind)
    return [json.loads(row["entry"])["body"] for row in rows]


def _remove(rig: HistoryRig) -> list[Removed]:
    return [remove(rig.ctx, region) for region in rig.regions]


def test_what_nobody_needs_goes_and_what_a_kept_backup_refers_to_stays(rig: HistoryRig) -> None:
    old = rig.made(5, "a")
    also = rig.made(4, "b")
    (rig.media / "b").unlink()
    kept = [rig.made(1, "c"), rig.made(0, "d")]
    assert [d.keep for d in preview(rig.ctx, "media")] == [False, False, True, True]
    marked = mark(rig.ctx, "media")
    assert marked.expired == (old, also) and mark(rig.ctx, "media").expired == ()
    for done in _remove(rig):
        assert (done.finished, done.waiting, done.refused) == (1, 1, 0), done
    for region in rig.regions:
        left = rig.keys_in(region, old)
        assert left and all(key.startswith("objects/") for key in left) and rig.keys_in(region, also) == []
        assert _nothing_is_half_visible(rig, region) == 2
    for backup_id in kept:
        _whole(rig, backup_id)
    first, second = _bodies(rig, "backup.expired")
    assert first["reasons"] == [f"daily {first['snapshot_at'][:10]}: 2 newer ones are there"]
    assert (first["backup_id"], second["backup_id"]) == (old, also) and first["retention"].startswith(
        "daily 2"
    )
    removed = _bodies(rig, "removal.done")
    assert [r["finished"] for r in removed] == [[also]] * 3 and {r["keys"] for r in removed} == {3}
    assert [r["new"] for r in _bodies(rig, "retention.changed")] == [first["retention"]]
    assert [r.keys for r in _remove(rig)] == [0, 0, 0] and len(_bodies(rig, "removal.done")) == 3
    _the_readers_of_the_catalogue_know(rig, old, also, kept)
    # The pack that stayed may be referred to again; the content that went is sent anew.
    rig.write("b")
    fifth = rig.back_up("media", "again")
    assert fifth.verdict == "sealed" and fifth.new_stored_bytes > 0
    owners = {o.backup_id for o in rig.get(fifth.backup_id).manifest.objects}
    assert old in owners and also not in owners
    # It goes when nobody refers to it any more.
    (rig.media / "a").unlink()
    for number, backup_id in enumerate([*kept, fifth.backup_id]):
        rig.age(backup_id, 8 - number)
    rig.made(1, "e")
    rig.made(0, "f")
    mark(rig.ctx, "media")
    _remove(rig)
    assert rig.keys_in(rig.regions[0], old) == []
    sweep.remove(rig.ctx, rig.regions[0])
    assert "orphans.removed" not in rig.kinds()


def _tested(rig: HistoryRig, backup_id: str, region: str, status: str) -> None:
    number = len(rig.query("select 1 from restore.tests"))
    at = f"now() + interval '{number} s'"
    run_sql(
        rig.warehouse,
        "insert into restore.tests (test_id, dag_id, run_id, attempt, source, region, backup_id, choice, "
        f"status, started_at, ended_at) values ('rt-{number}', 'test_restores', 'run-{number}', 1, 'media', "
        f"'{region}', '{backup_id}', 'latest', '{status}', {at}, {at})",
    )


def test_a_backup_that_failed_its_restore_tests_lets_no_older_one_go(rig: HistoryRig) -> None:
    days = [rig.made(days_ago, str(days_ago)) for days_ago in (5, 3, 1, 0)]

    def kept() -> list[bool]:
        return [d.keep for d in preview(rig.ctx, "media")]

    assert kept() == [False, False, True, True]
    for backup_id in days[2:]:
        for region in rig.regions[:2]:
            _tested(rig, backup_id, region.config.name, "failed")
    assert kept() == [False, True, True, True]
    _tested(rig, days[3], rig.regions[0].config.name, "passed")
    assert kept() == [False, False, True, True], "from one region it can be restored"
    _tested(rig, days[3], rig.regions[0].config.name, "failed")
    assert kept() == [False, True, True, True], "the last word of a region counts"


def test_after_the_loss_of_the_database_nothing_expires_until_a_person_has_confirmed_the_holds(
    rig: HistoryRig,
) -> None:
    old = rig.made(5, "a")
    rig.made(1)
    rig.made(0)
    assert confirm(rig.ctx, by="Li Wei", reason="nothing was lost") == 0
    assert _bodies(rig, "holds.confirmed") == [], "there is nothing to confirm"
    with rig.ctx.connect() as conn:
        body = {**REBUILT, "started_at": rig.clock(), "ended_at": rig.clock()}
        body["chain_before"] = {**body["chain_before"], "signed_at": rig.clock()}
        lost = ledger.append(conn, kind="catalog.rebuilt", subject="cn-east", body=body, now=rig.clock())
    for _ in range(2):
        with pytest.raises(ConfigError, match="nothing is removed") as refused:
            mark(rig.ctx, "media")
        assert "tidewatch holds confirm" in refused.value.do and f"record {lost.seq}" in refused.value.found
    assert _bodies(rig, "backup.expired") == []
    place(rig.ctx, source="media", holder="Legal", reason="case 7", by="Li Wei", backup_id=old)
    for _ in range(2):
        assert confirm(rig.ctx, by="Li Wei", reason="as in Legal's list") == 1
    (said,) = _bodies(rig, "holds.confirmed")
    assert (said["chain_before"], said["holds"], said["by"]) == (lost.seq, 1, "Li Wei")
    assert mark(rig.ctx, "media").expired == (), "held"
    rig.made(0, "b")
    rig.age(rig.made(0, "c"), 3)
    assert len(mark(rig.ctx, "media").expired) == 1


def _the_readers_of_the_catalogue_know(rig: HistoryRig, old: str, also: str, kept: list[str]) -> None:
    with rig.ctx.connect() as conn:
        assert catalogue.committed(conn) == kept
        rows = {row.backup_id: row for row in catalogue.list_backups(conn, source="media")}
        assert rows[old].expired_at is not None and rows[kept[0]].expired_at is None
        held = {h.entry.backup_id for h in contents.holdings(conn, "media")}
        assert old in held and also not in held, "what stays may be referred to, what goes may not"
        conn.execute("update vault.copies set state = 'failed', error = 'x' where backup_id = %s", [also])
        assert catalogue.degraded(conn) == []
        conn.rollback()
    with pytest.raises(NotFound, match="nothing to heal"):
        heal(rig.ctx, also)


def test_killed_anywhere_nothing_is_half_visible_and_the_next_run_ends_it(
    rig: HistoryRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        rig.made(9 - number, f"old-{number}")
    for file in rig.media.iterdir():
        file.unlink()
    rig.made(1, "new")
    rig.made(0)
    east = rig.regions[0]
    before = {(v.key, v.version_id) for v in east.store.list_versions("")}
    plain = ObjectStore.delete
    for step in itertools.count():
        calls = itertools.count()

        def delete(
            self: ObjectStore,
            key: str,
            version_id: str | None = None,
            *,
            n: int = step,
            calls: Iterator[int] = calls,
        ) -> None:
            number = next(calls)
            if number == 1 and n % 2:
                raise Killed
            plain(self, key, version_id)
            if number == 1:
                raise Killed

        monkeypatch.setattr(ObjectStore, "delete", delete)
        if step == 0:
            with pytest.raises(Killed):
                _killed_at_the_ledger(rig, monkeypatch)
            assert preview(rig.ctx, "media")[0].keep is False, "what was killed has marked nothing"
            mark(rig.ctx, "media")
        try:
            remove(rig.ctx, east)
        except Killed:
            assert _nothing_is_half_visible(rig, east) >= 1
        else:
            break
        assert step < 12
    monkeypatch.setattr(ObjectStore, "delete", plain)
    after = {(v.key, v.version_id) for v in east.store.list_versions("")}
    gone = before - after
    assert len(gone) == 6 and _nothing_is_half_visible(rig, east) == 2
    assert sum(b["keys"] for b in _bodies(rig, "removal.done")) == 6, "each removal stands in the ledger once"
    assert rig.query("select * from backup.removals") == []
    assert rig.query("select * from vault.expiries where region = 'cn-east' and done_at is null") == []


def _killed_at_the_ledger(rig: HistoryRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("tidewatch.evidence.ledger.append", dies)
        mark(rig.ctx, "media")


def test_a_region_that_is_down_is_done_later(rig: HistoryRig, region_servers: list[LocalRegion]) -> None:
    old = rig.made(5, "a")
    (rig.media / "a").unlink()
    rig.made(1, "b")
    rig.made(0, "c")
    region_servers[2].stop()
    assert mark(rig.ctx, "media").expired == (old,)
    assert [remove(rig.ctx, r).finished for r in rig.regions[:2]] == [1, 1]
    with pytest.raises(RegionError):
        remove(rig.ctx, rig.regions[2])
    region_servers[2].start()
    rig.regions[2].store.__dict__.pop("client", None)
    assert len(rig.keys_in(rig.regions[2], old)) == 2 and _nothing_is_half_visible(rig, rig.regions[2]) == 3
    assert remove(rig.ctx, rig.regions[2]).finished == 1 and rig.keys_in(rig.regions[2], old) == []


def test_what_the_store_still_locks_stays_whole_whatever_the_catalogue_says(rig: HistoryRig) -> None:
    """Somebody locked a manifest in one region for longer than we know, and objects in another."""
    old = rig.made(6, "a")
    also = rig.made(5)
    (rig.media / "a").unlink()
    rig.made(1, "b")
    rig.made(0, "c")
    east, north, south = rig.regions
    for region, part in ((east, f"{also}/manifest.json"), (north, f"{old}/objects")):
        for version in region.store.list_versions(""):
            if part in version.key:
                until = rig.clock().replace(microsecond=0).replace(year=2100)
                region.store.set_retention(version.key, version.version_id, "GOVERNANCE", until)
    assert mark(rig.ctx, "media").expired == (old, also)
    assert [(r.finished, r.locked, r.refused) for r in _remove(rig)] == [(0, 1, 0), (1, 1, 0), (2, 0, 0)]
    # In the east one is whole, with the pack of the other, whose manifest is gone.
    assert _nothing_is_half_visible(rig, east) == 3 and len(rig.keys_in(east, old)) == 1
    assert len(rig.keys_in(north, old)) == 1 and rig.keys_in(south, old) == []
    rig.unlock()
    assert [r.finished for r in _remove(rig)] == [2, 1, 0] and rig.keys_in(east, old) == []


def test_nobody_is_disturbed_and_what_is_not_wanted_waits(
    rig: HistoryRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewatch.backup.lock.PATIENCE_SECONDS", 0.0)
    old = rig.made(5, "a")
    rig.made(1, "b")
    rig.made(0, "c")
    with source_lock(rig.ctx, "media"), pytest.raises(Busy):
        mark(rig.ctx, "media")
    with backup_lock(rig.ctx, old):
        assert mark(rig.ctx, "media").left == (old,)
    # A hold that is placed before the mark counts; one on what is marked comes too late, and is told so.
    held = place(rig.ctx, source="media", backup_id=old, holder="Legal", reason="case 7", by="li.wei").hold
    assert mark(rig.ctx, "media").expired == ()
    run_sql(
        rig.warehouse,
        "update vault.holds set lifted_at = placed_at, lifted_by = 'x', lift_reason = 'y' "
        f"where hold_id = '{held.hold_id}'",
    )
    assert mark(rig.ctx, "media").expired == (old,)
    with pytest.raises(IntegrityError, match="nothing to hold"):
        place(rig.ctx, source="media", backup_id=old, holder="Legal", reason="case 8", by="li.wei")


def test_a_suspect_that_was_removed_is_not_decided_on_any_more(rig: HistoryRig) -> None:
    rig.policy = {"default": {"daily": 2, "suspect_days": 3, "timezone": "UTC"}}
    first = rig.made(0, "a", "b", "c")
    for file in rig.media.iterdir():
        file.unlink()
    rig.sources[0]["gate"] = {"must_have": ["never"]}
    rig.write("a")
    from tidewatch.backup.run import RunRef, judge, stage

    suspect = stage(rig.ctx, "media", RunRef(dag_id="tests", run_id="suspect")).backup_id
    assert not judge(rig.ctx, suspect).passed
    assert rig.get(suspect).generations == [] and rig.get(suspect).keep_until is None
    rig.age(suspect, 5)
    assert extend_locks(rig.ctx, "media").locks >= 2, "the newest good one is never without a lock"
    assert mark(rig.ctx, "media").expired == (suspect,)
    with pytest.raises(IntegrityError, match="expired"):
        decide(rig.ctx, suspect, accept=True, by="li.wei", reason="late")
    _remove(rig)
    _whole(rig, first)


def test_a_region_that_was_taken_out_of_the_configuration_is_done_when_it_comes_back(rig: HistoryRig) -> None:
    old = rig.made(5, "a")
    (rig.media / "a").unlink()
    rig.made(1, "b")
    rig.made(0, "c")
    everywhere = rig.regions
    south = everywhere[2]
    rig.regions = everywhere[:2]
    assert mark(rig.ctx, "media").expired == (old,)
    assert [r.finished for r in _remove(rig)] == [1, 1]
    assert len(rig.keys_in(south, old)) == 2
    rig.regions = everywhere
    assert remove(rig.ctx, south).finished == 1 and rig.keys_in(south, old) == []


def test_a_clock_that_is_ahead_ends_no_backup(rig: HistoryRig) -> None:
    rig.policy = {"default": {"daily": {"days": 35}, "timezone": "UTC"}}
    old = rig.made(5, "a")
    rig.made(0, "b")
    rig.clock.ahead = timedelta(days=365)
    assert [d.backup.backup_id for d in preview(rig.ctx, "media") if not d.keep] == [old]
    for act in (mark, extend_locks):
        with pytest.raises(ConfigError, match="clock of this machine is ahead"):
            act(rig.ctx, "media")
    rig.clock.ahead = timedelta()
    assert mark(rig.ctx, "media").expired == () and rig.get(old).expired_at is None
