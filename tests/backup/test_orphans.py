"""What is an orphan and what is not; what a sweep removes, records and leaves."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from backup_rig import Rig, run_sql

from tidewatch.backup import capture
from tidewatch.backup.orphans import find
from tidewatch.backup.probe import probe
from tidewatch.backup.run import RunRef, judge, stage
from tidewatch.backup.sweep import end_dead_attempts, remove
from tidewatch.core.errors import RegionMisconfigured, TidewatchError
from tidewatch.core.objectstore import ObjectStore
from tidewatch.core.regions import Region
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault import catalogue
from tidewatch.vault.layout import BackupPath


class Killed(BaseException):
    """kill -9: nothing of ours runs afterwards."""


@pytest.fixture
def media(rig: Rig, tmp_path: Path) -> str:
    root = tmp_path / "media"
    root.mkdir()
    (root / "a").write_bytes(b"alpha" * 1000)
    return rig.files_source("media", root)


def _killed_while_staging(rig: Rig, source: str, run_id: str = "killed") -> str:
    """An attempt that uploaded everything and died before the catalogue knew."""

    class Said(list[str]):
        def append(self, line: str) -> None:
            if "everything is sent" in line:
                raise Killed

    said, rig.said = rig.said, Said()
    with contextlib.suppress(Killed):
        stage(rig.ctx, source, RunRef(dag_id="tests", run_id=run_id))
    rig.said = said
    with rig.ctx.connect() as conn:
        return catalogue.list_backups(conn, source=source, n=1)[0].backup_id


def _keys(region: Region, backup_id: str = "") -> set[str]:
    return {v.key for v in region.store.list_versions("") if backup_id in v.key}


def _orphans_of(rig: Rig, region: Region) -> set[str]:
    return {o.backup_id or "probe" for o in find(rig.ctx, region).removable}


def _later(rig: Rig, hours: float) -> None:
    rig.clock.ahead += timedelta(hours=hours)


def test_what_a_killed_attempt_left_goes_once_the_next_one_has_given_it_up(rig: Rig, media: str) -> None:
    east = rig.regions[0]
    dead = _killed_while_staging(rig, media)
    left = _keys(east, dead)
    assert left and _orphans_of(rig, east) == set(), "for all we know it is alive"
    good = rig.back_up(media, "run-2").backup_id
    assert _orphans_of(rig, east) == {dead}
    swept = remove(rig.ctx, east)
    assert (swept.keys, swept.refused, swept.ok) == (len(left), 0, True)
    assert _keys(east, dead) == set() and _keys(rig.regions[1], dead) == left, "one region at a time"
    assert len(_keys(east, good)) >= 2
    (entry,) = rig.query("select entry from evidence.ledger where kind = 'orphans.removed'")
    body = json.loads(entry["entry"])["body"]
    assert (body["keys"], body["attempts"], set(body["examples"])) == (len(left), [dead], left)
    assert body["bytes"] == swept.bytes > 0 and body["place"]["region"] == "cn-east"
    with rig.ctx.connect() as conn:
        assert catalogue.get(conn, dead).status == "abandoned", "its row keeps the history"
    assert remove(rig.ctx, east).keys == 0 and rig.kinds().count("orphans.removed") == 1


def test_the_digest_in_the_ledger_is_that_of_the_list(rig: Rig, media: str) -> None:
    east = rig.regions[0]
    _killed_while_staging(rig, media)
    rig.back_up(media, "run-2")
    rows = sorted((o.key, o.version_id) for o in find(rig.ctx, east).removable)
    remove(rig.ctx, east)
    (entry,) = rig.query("select entry from evidence.ledger where kind = 'orphans.removed'")
    listed = "".join(f"{key} {version}\n" for key, version in rows)
    assert json.loads(entry["entry"])["body"]["sha256"] == sha256(listed.encode()).hexdigest()


def test_what_is_locked_is_listed_with_its_date_and_taken_when_the_lock_has_ended(
    rig: Rig, media: str
) -> None:
    east = rig.regions[0]
    dead = _killed_while_staging(rig, media)
    (version, *rest) = [v for v in east.store.list_versions("") if dead in v.key]
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    east.store.set_retention(version.key, version.version_id, "GOVERNANCE", until)
    rig.back_up(media, "run-2")
    (locked,) = find(rig.ctx, east).locked
    assert (locked.key, locked.locked_until) == (version.key, until)
    swept = remove(rig.ctx, east)
    assert (swept.keys, swept.locked, swept.locked_until) == (len(rest), 1, until)
    # The store has the last word: a clock of ours that is a day ahead takes nothing that it still locks.
    _later(rig, 24)
    early = remove(rig.ctx, east)
    assert (early.keys, early.refused) == (0, 1) and _keys(east, dead) == {version.key}
    east.store.client.put_object_retention(
        Bucket=east.config.bucket, Key=version.key, VersionId=version.version_id,
        BypassGovernanceRetention=True,
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) - timedelta(seconds=5)},
    )  # fmt: skip
    assert remove(rig.ctx, east).keys == 1 and _keys(east, dead) == set()


def test_what_the_catalogue_does_not_know_is_left_for_the_grace_and_then_removed(
    rig: Rig, media: str
) -> None:
    east = rig.regions[0]
    dead = _killed_while_staging(rig, media)
    rig.back_up(media, "run-2")
    run_sql(rig.warehouse, f"delete from vault.backups where backup_id = '{dead}'")
    assert (find(rig.ctx, east).young, _orphans_of(rig, east)) == (1, set())
    _later(rig, 49)
    assert _orphans_of(rig, east) == {dead}


def test_nothing_in_question_is_removed_while_a_region_cannot_be_asked(
    rig: Rig, media: str, region_servers: list[LocalRegion]
) -> None:
    dead = _killed_while_staging(rig, media)
    rig.back_up(media, "run-2")
    region_servers[2].stop()
    found = find(rig.ctx, rig.regions[0])
    assert found.orphans == [] and [k.what for k in found.kept] == [dead]
    assert "cn-south cannot be asked" in found.kept[0].why
    with pytest.raises(TidewatchError, match="cn-south"):
        remove(rig.ctx, rig.regions[2])
    assert remove(rig.ctx, rig.regions[0]).keys == 0 and rig.kinds().count("orphans.removed") == 0


@pytest.mark.parametrize("how", ["unknown", "forged", "hidden"])
def test_a_manifest_that_the_catalogue_does_not_know_keeps_everything_of_its_source(
    rig: Rig, media: str, how: str
) -> None:
    east, north = rig.regions[0], rig.regions[1]
    dead = _killed_while_staging(rig, media)
    good = rig.back_up(media, "run-2").backup_id
    run_sql(rig.warehouse, f"delete from vault.backups where backup_id = '{good}'")
    key = BackupPath("tidewatch", media, good).manifest_key
    if how == "forged":
        north.store.client.put_object(Bucket=north.config.bucket, Key=key, Body=b"{}")
    if how == "hidden":
        for region in rig.regions:
            region.store.delete(key)
    _later(rig, 49)
    found = find(rig.ctx, east)
    assert found.orphans == [] and {k.what for k in found.kept} == {dead, good}
    assert any("tidewatch catalog rebuild" in k.why for k in found.kept)
    assert remove(rig.ctx, east).keys == 0


def test_an_ended_attempt_with_a_manifest_in_another_region_is_no_orphan(rig: Rig, media: str) -> None:
    good = rig.back_up(media, "run-1").backup_id
    run_sql(
        rig.warehouse,
        "alter table vault.backups disable trigger all",
        f"update vault.backups set status = 'failed', error = 'x' where backup_id = '{good}'",
    )
    _later(rig, 24 * 400)
    found = find(rig.ctx, rig.regions[0])
    assert found.orphans == [] and "the catalogue calls it failed" in found.kept[0].why


def test_content_that_a_later_backup_takes_from_an_attempt_is_kept(rig: Rig, media: str) -> None:
    """Cannot happen by itself, since only sealed backups are referred to. It is asked all the same."""
    east = rig.regions[0]
    dead = _killed_while_staging(rig, media)
    good = rig.back_up(media, "run-2").backup_id
    key = next(iter(_keys(east, dead)))
    run_sql(
        rig.warehouse,
        "insert into vault.copies (backup_id, region, object_key, state) "
        f"values ('{good}', 'cn-east', '{key}', 'uploaded')",
    )
    found = find(rig.ctx, east)
    assert found.orphans == [] and found.kept[0].why == "another backup takes content from it"


def test_what_is_not_ours_is_told_and_left(rig: Rig, media: str) -> None:
    east = rig.regions[0]
    names = [
        "tidewatch/readme.txt",
        "tidewatch/media/notes/x",
        "tidewatch/media/2026/01/media-20260101T000000Z-00000001/objects/deep/er",
        "tidewatch/media/2026/02/media-20260101T000000Z-00000001/manifest.json",
        "tidewatch/probes/yesterday/locked",
        "tidewatch/probes/2026-01-01/report.pdf",
        "tidewatch/probes/2026-01-01/put-0000000g",
    ]
    for name in [*names, "tidewatch2/media/2026/01/media-20260101T000000Z-00000001/objects/a", "elsewhere"]:
        east.store.put(name, b"x")
    for name in ("tidewatch/half", "tidewatch/probes/2026-01-01/half"):
        east.store.client.create_multipart_upload(Bucket=east.config.bucket, Key=name)
        names.append(name)
    _later(rig, 24 * 60)
    found = find(rig.ctx, east)
    assert sorted(found.stray_examples) == sorted(names) and found.strays == 9
    before = _keys(east)
    swept = remove(rig.ctx, east)
    assert (swept.keys, swept.uploads, swept.strays, swept.ok) == (0, 0, 9, False)
    assert _keys(east) == before


def test_yesterdays_probe_goes_and_todays_stays(rig: Rig) -> None:
    east = rig.regions[0]
    assert probe(east, rig.clock()).usable
    left = _keys(east)
    assert left and find(rig.ctx, east).orphans == []
    _later(rig, 24)
    (locked,) = find(rig.ctx, east).orphans
    assert locked.backup_id is None and locked.locked_until is None
    # Its hour is over by our clock; the store's own still holds it.
    assert remove(rig.ctx, east).refused == 1 and _keys(east) == left


def test_unfinished_uploads_of_ended_and_finished_backups_are_aborted_after_the_grace(
    rig: Rig, media: str
) -> None:
    east = rig.regions[0]
    dead = _killed_while_staging(rig, media)
    good = rig.back_up(media, "run-2").backup_id
    living = _killed_while_staging(rig, media, "at work")
    for backup_id in (dead, good, living):
        key = BackupPath("tidewatch", media, backup_id).object_key("pack-00009.tar.zst.age")
        east.store.client.create_multipart_upload(Bucket=east.config.bucket, Key=key)

    def left() -> set[str]:
        return {b for u in east.store.list_multiparts("") for b in (dead, good, living) if b in u.key}

    assert remove(rig.ctx, east).uploads == 0 and left() == {dead, good, living}
    _later(rig, 49)
    assert remove(rig.ctx, east).uploads == 2 and left() == {living}


def test_a_store_that_cannot_list_uploads_is_swept_all_the_same(
    rig: Rig, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    east = rig.regions[0]
    _killed_while_staging(rig, media)
    rig.back_up(media, "run-2")

    def cannot(*_: object) -> None:
        raise RegionMisconfigured("It did not list uploads", expected="-", found="NotImplemented", do="-")

    monkeypatch.setattr(ObjectStore, "list_multiparts", cannot)
    swept = remove(rig.ctx, east)
    assert swept.keys == 1 and [k.what for k in swept.kept] == ["unfinished uploads"]


def test_a_source_that_is_being_read_is_left_to_its_run(
    rig: Rig, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep in the middle of an upload, with the grace long over by a wrong clock: nothing is lost."""
    dead = _killed_while_staging(rig, media)
    monkeypatch.setattr("tidewatch.backup.lock.PATIENCE_SECONDS", 0.1)
    said: list[Any] = []
    real: Callable[..., Any] = capture.capture_files

    def sweeping(*arguments: Any) -> Any:
        captured = real(*arguments)  # everything of the live attempt is uploaded
        _later(rig, 24 * 30)
        said.extend(remove(rig.ctx, region) for region in rig.regions)
        _later(rig, -24 * 30)
        return captured

    monkeypatch.setattr("tidewatch.backup.stage.capture_files", sweeping)
    live = stage(rig.ctx, media, RunRef(dag_id="tests", run_id="run-2")).backup_id
    assert [s.keys for s in said] == [0, 0, 0]
    assert all("being worked on" in k.why for s in said for k in s.kept) and said[0].kept[0].what == dead
    monkeypatch.undo()
    assert judge(rig.ctx, live).passed
    assert [remove(rig.ctx, r).keys for r in rig.regions] == [1, 1, 1] and not _keys(rig.regions[0], dead)


def test_attempts_that_nobody_takes_further_are_given_up_or_told_of_once(rig: Rig, media: str) -> None:
    staged = stage(rig.ctx, media, RunRef(dag_id="tests", run_id="left")).backup_id
    dead = _killed_while_staging(rig, media)
    assert end_dead_attempts(rig.ctx) == {"abandoned": 0, "staged": 0}, "a day is given to those who retry"
    _later(rig, 25)
    assert end_dead_attempts(rig.ctx) == {"abandoned": 1, "staged": 1}
    end_dead_attempts(rig.ctx)
    facts = [n["fact"] for n in rig.notices()]
    assert sorted(facts) == [f"backup.died/{dead}", f"backup.left_staged/{staged}"]
    assert rig.get(dead).status == "abandoned" and rig.get(staged).status == "staged"
    assert _orphans_of(rig, rig.regions[0]) == {dead}
