"""What goes wrong while copies are completed: the right region is blamed, and nothing is final."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from backup_rig import Rig

from tidewatch.backup import heal as healing
from tidewatch.backup.heal import heal
from tidewatch.backup.lock import source_lock
from tidewatch.backup.run import Outcome
from tidewatch.core.errors import ObjectMissing
from tidewatch.core.objectstore import Multipart
from tidewatch.core.regions import Region
from tidewatch.core.signing import SigningKey
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault import catalogue
from tidewatch.vault.layout import region_key
from tidewatch.vault.manifest import ObjectEntry


@pytest.fixture
def degraded(rig: Rig, region_servers: list[LocalRegion], tmp_path: Path) -> Outcome:
    """A backup of 12 MB in three parts that the third region missed; the region is back."""
    rig.regions = [Region(r.config, replace(r.address, attempts=1, connect_timeout_s=1)) for r in rig.regions]
    root = tmp_path / "media"
    root.mkdir()
    (root / "film").write_bytes(os.urandom(12_000_000))
    source = rig.files_source("media", root)
    region_servers[2].stop()
    outcome = rig.back_up(source)
    region_servers[2].start()
    rig.regions[2].store.__dict__.pop("client", None)
    assert outcome.verdict == "degraded"
    return outcome


def _states(rig: Rig, backup_id: str) -> set[tuple[str, str]]:
    with rig.ctx.connect() as conn:
        return {(c.region, c.state) for c in catalogue.copies(conn, backup_id)}


def test_an_upload_that_the_target_forgets_is_not_held_against_the_region_that_gives(
    rig: Rig, degraded: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Multipart.complete

    def forgotten(self: Multipart, *, if_absent: bool = True) -> object:
        self.abort()  # what a rule that cleans up unfinished uploads does
        return real(self, if_absent=if_absent)

    with monkeypatch.context() as patch:
        patch.setattr(Multipart, "complete", forgotten)
        result = heal(rig.ctx, degraded.backup_id)
    assert list(result.problems) == ["cn-south"] and result.verdict == "degraded"
    assert _states(rig, degraded.backup_id) == {
        ("cn-east", "verified"),
        ("cn-north", "verified"),
        ("cn-south", "failed"),
    }
    assert not [n for n in rig.notices() if "copy.damaged" in str(n)]
    assert heal(rig.ctx, degraded.backup_id).verdict == "sealed"


def test_a_backup_whose_every_copy_was_doubted_is_healed_when_the_regions_are_right_again(
    rig: Rig, degraded: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = healing._copy

    def nothing_there(origin: Region, source_key: str, target: Region, key: str, entry: ObjectEntry) -> None:
        lost = region_key(origin.config.prefix, "no/such/object")
        real(origin, lost, target, key, entry)

    with monkeypatch.context() as patch:
        patch.setattr(healing, "_copy", nothing_there)
        heal(rig.ctx, degraded.backup_id)
    assert {state for _, state in _states(rig, degraded.backup_id) if _ != "cn-south"} >= {"failed"}
    for _ in range(2):  # an hour later, and another one
        result = heal(rig.ctx, degraded.backup_id)
    assert result.verdict == "sealed" and {s for _, s in _states(rig, degraded.backup_id)} == {"verified"}


def test_healing_asks_the_residency_policy_of_today(rig: Rig, degraded: Outcome) -> None:
    rig.configure("cn-south", jurisdiction="US")
    result = heal(rig.ctx, degraded.backup_id)
    assert result.healed == () and "cn-south" in result.problems
    assert not [x for x in rig.regions[2].store.list("") if degraded.backup_id in x.key]


def test_backups_signed_with_the_key_before_are_healed_after_it_was_changed(
    rig: Rig, degraded: Outcome, tmp_path: Path
) -> None:
    _change_signing_key(rig, tmp_path)
    assert heal(rig.ctx, degraded.backup_id).verdict == "sealed"


def _change_signing_key(rig: Rig, tmp_path: Path) -> None:
    key = SigningKey.generate()
    key.save(tmp_path / "new.pem")
    rig.settings = rig.settings.model_copy(update={"signing_key_file": tmp_path / "new.pem"})


def test_a_source_that_is_being_backed_up_does_not_keep_its_old_backups_from_being_healed(
    rig: Rig, degraded: Outcome
) -> None:
    with source_lock(rig.ctx, "media"):
        assert heal(rig.ctx, degraded.backup_id).verdict == "sealed"


def test_a_pack_found_damaged_is_damaged_for_every_backup_that_refers_to_it(
    rig: Rig, degraded: Outcome, region_servers: list[LocalRegion]
) -> None:
    heal(rig.ctx, degraded.backup_id)
    second = rig.back_up("media", "run-2")
    assert second.verdict == "sealed" and second.new_stored_bytes == 0
    region_servers[2].stop()
    third = rig.back_up("media", "run-3")
    region_servers[2].start()
    entry = rig.get(third.backup_id).manifest.objects[0]
    assert third.verdict == "degraded" and entry.backup_id == degraded.backup_id
    # The third region lost everything, the first one shows other bytes.
    bucket = f"t-{os.urandom(8).hex()}"
    region_servers[2].create_bucket(bucket)
    rig.configure("cn-south", bucket=bucket)
    east = rig.regions[0]
    east.store.put(region_key(east.config.prefix, entry.key), os.urandom(1000), if_absent=False)
    heal(rig.ctx, third.backup_id)
    for backup_id in (degraded.backup_id, second.backup_id, third.backup_id):
        assert ("cn-east", "failed") in _states(rig, backup_id), backup_id
        assert rig.get(backup_id).status == "degraded", backup_id


def test_an_optional_region_that_stays_down_does_not_keep_a_healed_backup_from_its_seal(
    rig: Rig, degraded: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.configure("cn-south", required=False)
    real = healing._heal_region

    def down(work: healing._Work, target: Region) -> None:
        if target.name == "cn-south":
            raise ObjectMissing("cn-south is down", expected="an answer", found="none", do="wait")
        real(work, target)

    monkeypatch.setattr(healing, "_heal_region", down)
    assert heal(rig.ctx, degraded.backup_id).verdict == "sealed"
