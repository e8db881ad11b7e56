"""Configuration, clock and regions change between the steps of a backup, and between two backups."""

import contextlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from backup_rig import Rig

from tidewatch.backup import commit as committing
from tidewatch.backup.decide import decide
from tidewatch.backup.run import RunRef, commit, judge, stage
from tidewatch.core.errors import GateFailed, RegionUnavailable, TidewatchError
from tidewatch.core.objectstore import Head, ObjectStore
from tidewatch.core.regions import Region
from tidewatch.core.signing import SigningKey
from tidewatch.vault import catalogue
from tidewatch.vault.layout import region_key


@pytest.fixture
def media(rig: Rig, tmp_path: Path) -> str:
    root = tmp_path / "media"
    root.mkdir()
    (root / "a.txt").write_bytes(b"alpha" * 1000)
    return rig.files_source("media", root)


def _staged(rig: Rig, source: str, run_id: str = "run-1") -> str:
    return stage(rig.ctx, source, RunRef(dag_id="tests", run_id=run_id)).backup_id


class _Killed(BaseException):
    pass


def _killed_after_placing(rig: Rig, backup_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(committing, "record", die)
        with contextlib.suppress(_Killed):
            commit(rig.ctx, backup_id)


def test_a_region_removed_after_the_manifest_was_signed_does_not_block_the_backup(
    rig: Rig, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup_id = _staged(rig, media)
    south = rig.regions[2]
    for copy in list(south.store.list("")):
        south.store.delete(copy.key, south.store.head(copy.key).version_id)  # so that its copy fails
    judge(rig.ctx, backup_id)
    _killed_after_placing(rig, backup_id, monkeypatch)
    rig.regions = rig.regions[:2]
    assert commit(rig.ctx, backup_id).verdict == "degraded"


def test_a_signing_key_that_is_changed_after_the_manifest_was_signed_does_not_block_the_backup(
    rig: Rig, media: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup_id = _staged(rig, media)
    judge(rig.ctx, backup_id)
    _killed_after_placing(rig, backup_id, monkeypatch)
    before = rig.ctx.signing_key.public.key_id
    SigningKey.generate().save(tmp_path / "new.pem")
    rig.settings = rig.settings.model_copy(update={"signing_key_file": tmp_path / "new.pem"})
    assert commit(rig.ctx, backup_id).verdict == "sealed"
    [row] = rig.query("select entry from evidence.ledger where kind = 'backup.committed'")
    assert json.loads(row["entry"])["body"]["signing_key_id"] == before


def test_a_clock_that_is_set_back_does_not_block_the_backup(rig: Rig, media: str) -> None:
    backup_id = _staged(rig, media)
    judge(rig.ctx, backup_id)
    rig.clock.ahead = -timedelta(hours=2)
    outcome = commit(rig.ctx, backup_id)
    assert outcome.verdict == "sealed" and outcome.seconds >= 0
    with pytest.raises(RegionUnavailable, match="another time than this machine"):
        rig.back_up(media, "run-2")  # locks that begin now would end too early by the stores' clocks


def test_a_clock_that_is_set_back_while_a_source_fails_leaves_a_failed_attempt(
    rig: Rig, media: str, tmp_path: Path
) -> None:
    def back(line: str) -> None:
        if "begun as" in line:
            rig.clock.ahead = -timedelta(hours=2)
            (tmp_path / "media").rename(tmp_path / "elsewhere")

    class Said(list[str]):
        def append(self, line: str) -> None:
            back(line)

    rig.said = Said()
    with pytest.raises(TidewatchError):
        _staged(rig, media)
    with rig.ctx.connect() as conn:
        assert [b.status for b in catalogue.list_backups(conn, source=media)] == ["failed"]


def test_a_source_goes_on_after_the_prefix_of_its_regions_was_changed(rig: Rig, media: str) -> None:
    assert rig.back_up(media).verdict == "sealed"
    for region in list(rig.regions):
        rig.configure(region.name, prefix="elsewhere")
    second = rig.back_up(media, "run-2")
    assert second.verdict == "sealed" and second.new_stored_bytes > 0
    entry = rig.get(second.backup_id).manifest.objects[0]
    assert rig.plain(rig.regions[0], entry)


def test_content_that_no_region_has_any_more_is_sent_again(rig: Rig, media: str) -> None:
    first = rig.back_up(media)
    entry = rig.get(first.backup_id).manifest.objects[0]
    for region in rig.regions:
        region.store.delete(region_key(region.config.prefix, entry.key))
    second = rig.back_up(media, "run-2")
    assert second.verdict == "sealed" and second.new_stored_bytes > 0


def test_an_accepted_backup_passes_its_gate_when_the_task_is_cleared(
    rig: Rig, tmp_path: Path, media: str
) -> None:
    for number in range(40):
        (tmp_path / "media" / f"{number}").write_bytes(b"%d" % number)
    rig.back_up(media)
    for number in range(40):
        (tmp_path / "media" / f"{number}").unlink()
    backup_id = _staged(rig, media, "run-2")
    for _ in range(2):  # clearing the task alone changes nothing
        with pytest.raises(GateFailed):
            judge(rig.ctx, backup_id).raise_if_failed()
    decide(rig.ctx, backup_id, accept=True, by="Li Wei", reason="archived")
    judge(rig.ctx, backup_id).raise_if_failed()
    assert commit(rig.ctx, backup_id).verdict == "accepted"


def test_a_manifest_whose_lock_is_weaker_than_asked_is_no_verified_copy(
    rig: Rig, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup_id = _staged(rig, media)
    judge(rig.ctx, backup_id)
    real = ObjectStore.head
    liar: Region = rig.regions[1]

    def head(self: ObjectStore, key: str, version_id: str | None = None) -> Head:
        answer = real(self, key, version_id)
        if self.region == liar.name and key.endswith("manifest.json"):
            return Head(**{**vars(answer), "lock_mode": None})
        return answer

    monkeypatch.setattr(ObjectStore, "head", head)
    outcome = commit(rig.ctx, backup_id)
    assert outcome.verdict == "degraded" and "lock" in outcome.missing[liar.name]
