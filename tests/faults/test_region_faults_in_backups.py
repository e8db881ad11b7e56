"""One region misbehaves during a whole backup: the others are sealed-worthy, the verdict says degraded."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from backup_rig import MIB, Rig
from region_proxy import RegionProxy

from tidewatch.backup.context import Tuning
from tidewatch.backup.heal import heal
from tidewatch.backup.probe import probe
from tidewatch.backup.run import RunRef, commit, judge, stage
from tidewatch.core.connections import missing
from tidewatch.core.objectstore import ObjectStore, Stored
from tidewatch.core.regions import Region
from tidewatch.vault.layout import region_key


@pytest.fixture
def media(rig: Rig, tmp_path: Path) -> str:
    root = tmp_path / "media"
    root.mkdir()
    for n in range(4):
        (root / f"film-{n}").write_bytes(os.urandom(9 * MIB))
    return rig.files_source("media", root)


def test_a_region_that_falls_silent_leaves_a_degraded_backup_with_the_reason_in_words(
    rig: Rig, media: str
) -> None:
    rig.tuning = Tuning(part_size=5 * MIB, stall_seconds=6, queue_parts=2, progress_seconds=0.1)
    south = rig.regions[2]
    with RegionProxy(south) as proxy:
        proxy.after(12 * MIB, proxy.hang)
        rig.through("cn-south", proxy.region(read_timeout_s=20, attempts=1))
        outcome = rig.back_up(media)
    assert outcome.verdict == "degraded" and sorted(outcome.verified) == ["cn-east", "cn-north"]
    assert "left behind" in outcome.missing["cn-south"]
    assert any("MB" in line and "cn-south" in line for line in rig.said), "progress was told"
    assert rig.kinds(outcome.backup_id).count("copy.failed") == 1
    assert "left behind" in str(rig.notices()[0])
    rig.through("cn-south", south)
    assert heal(rig.ctx, outcome.backup_id).verdict == "sealed"


def test_a_region_that_is_lost_between_the_proof_and_the_manifest_is_healed_with_the_same_bytes(
    rig: Rig, media: str
) -> None:
    south = rig.regions[2]
    with RegionProxy(south) as proxy:
        rig.through("cn-south", proxy.region(attempts=1))
        staged = stage(rig.ctx, media, RunRef(dag_id="tests", run_id="run-1"))
        assert judge(rig.ctx, staged.backup_id).passed
        proxy.cut()
        outcome = commit(rig.ctx, staged.backup_id)
    assert outcome.verdict == "degraded" and list(outcome.missing) == ["cn-south"]
    rig.through("cn-south", south)
    assert heal(rig.ctx, outcome.backup_id).verdict == "sealed"
    key = region_key(south.config.prefix, rig.get(outcome.backup_id).manifest.path.manifest_key)
    assert len({r.store.read(key) for r in rig.regions}) == 1


def test_a_region_that_loses_an_object_it_accepted_is_not_verified(rig: Rig, media: str) -> None:
    staged = stage(rig.ctx, media, RunRef(dag_id="tests", run_id="run-1"))
    north = rig.regions[1]
    key = region_key(north.config.prefix, rig.get(staged.backup_id).manifest.objects[0].key)
    north.store.delete(key, north.store.head(key).version_id)
    verdict = judge(rig.ctx, staged.backup_id)
    assert verdict.passed and any("cn-north" in w for w in verdict.warnings)
    outcome = commit(rig.ctx, staged.backup_id)
    assert outcome.verdict == "degraded" and "no such object" in outcome.missing["cn-north"]


def test_a_region_that_shows_other_bytes_is_not_verified(
    rig: Rig, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ObjectStore.get

    def lying(self: ObjectStore, key: str, version_id: str | None = None) -> object:
        for chunk in real(self, key, version_id):
            yield chunk if self.region != "cn-east" else bytes(len(chunk))

    staged = stage(rig.ctx, media, RunRef(dag_id="tests", run_id="run-1"))
    monkeypatch.setattr(ObjectStore, "get", lying)
    judge(rig.ctx, staged.backup_id)
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as again:
        again.setattr(ObjectStore, "get", lying)
        outcome = commit(rig.ctx, staged.backup_id)
    assert outcome.verdict == "degraded" and "SHA-256" in outcome.missing["cn-east"]


def test_a_store_that_ignores_conditions_and_locks_at_upload_is_still_sealed(
    rig: Rig, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ObjectStore.put

    def unconditional(
        self: ObjectStore, key: str, body: bytes, *, sha256: bytes | None = None, if_absent: bool = True
    ) -> Stored:
        return real(self, key, body, sha256=sha256, if_absent=False)

    monkeypatch.setattr(ObjectStore, "put", unconditional)
    outcome = rig.back_up(media)
    assert outcome.verdict == "sealed"
    assert all(t is not None for t in outcome.verified.values())


def test_an_optional_region_that_is_down_does_not_keep_a_backup_from_its_seal(rig: Rig, media: str) -> None:
    rig.configure("cn-south", required=False)
    with RegionProxy(rig.regions[2]) as proxy:
        proxy.cut()
        rig.through("cn-south", proxy.region(attempts=1))
        outcome = rig.back_up(media)
    assert outcome.verdict == "sealed" and list(outcome.missing) == ["cn-south"]
    assert len(rig.notices()) == 1


def test_expired_credentials_of_one_region_are_its_problem_alone(rig: Rig, media: str) -> None:
    south = rig.regions[2]
    rig.through("cn-south", Region(south.config, replace(south.address, secret_key="wrong" * 8)))
    outcome = rig.back_up(media)
    assert outcome.verdict == "degraded" and "403" in outcome.missing["cn-south"]


def test_a_region_whose_connection_is_missing_is_left_behind_and_named(rig: Rig, media: str) -> None:
    south = rig.regions[2]
    address = replace(south.address, fault=missing(south.config.connection))
    rig.through("cn-south", Region(south.config, address))
    outcome = rig.back_up(media)
    assert outcome.verdict == "degraded" and sorted(outcome.verified) == ["cn-east", "cn-north"]
    assert f"There is no connection {south.config.connection}" in outcome.missing["cn-south"]
    report = probe(rig.ctx.region("cn-south"), rig.ctx.now())
    assert report.lacking == ["reachable"] and "no connection" in report.answers[0].detail
    rig.through("cn-south", south)
    assert heal(rig.ctx, outcome.backup_id).verdict == "sealed"
