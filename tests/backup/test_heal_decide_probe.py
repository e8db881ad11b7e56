"""Copies that are missing, suspects that a person decides on, regions that are probed."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backup_rig import Rig

from tidewatch.backup.decide import decide
from tidewatch.backup.heal import heal
from tidewatch.backup.probe import probe, probe_regions
from tidewatch.backup.run import Outcome, RunRef, commit, judge, stage
from tidewatch.core.errors import AlreadyExists, ConfigError, IntegrityError, NotFound, RegionUnavailable
from tidewatch.core.regions import Region
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault import catalogue
from tidewatch.vault.layout import region_key
from tidewatch.vault.signed import open_signed
from tidewatch.vault.verify import verify_copy


def _media(rig: Rig, tmp_path: Path, size: int = 12_000_000) -> str:
    root = tmp_path / "media"
    root.mkdir()
    (root / "film").write_bytes(os.urandom(size))
    (root / "a.txt").write_bytes(b"alpha")
    return rig.files_source("media", root)


def _degraded(rig: Rig, region_servers: list[LocalRegion], source: str) -> Outcome:
    region_servers[2].stop()
    outcome = rig.back_up(source)
    region_servers[2].start()
    rig.regions[2].store.__dict__.pop("client", None)
    return outcome


@pytest.fixture
def impatient(rig: Rig) -> Rig:
    """Regions that are given up after one attempt, so that an outage costs the test no minute."""
    from dataclasses import replace

    rig.regions = [Region(r.config, replace(r.address, attempts=1, connect_timeout_s=1)) for r in rig.regions]
    return rig


def test_a_region_that_is_down_makes_the_backup_degraded_and_says_so_once(
    impatient: Rig, region_servers: list[LocalRegion], tmp_path: Path
) -> None:
    rig = impatient
    outcome = _degraded(rig, region_servers, _media(rig, tmp_path))
    assert outcome.verdict == "degraded"
    assert sorted(outcome.verified) == ["cn-east", "cn-north"] and list(outcome.missing) == ["cn-south"]
    assert "cn-south" in outcome.missing["cn-south"]
    assert len(rig.notices()) == 1 and "degraded" in str(rig.notices()[0])
    kinds = rig.kinds(outcome.backup_id)
    assert kinds.count("copy.verified") == 2 and kinds.count("copy.failed") == 1


def test_healing_copies_the_same_bytes_and_seals(
    impatient: Rig, region_servers: list[LocalRegion], tmp_path: Path
) -> None:
    rig = impatient
    outcome = _degraded(rig, region_servers, _media(rig, tmp_path))
    result = heal(rig.ctx, outcome.backup_id)
    assert result.verdict == "sealed" and result.healed == ("cn-south",) and not result.problems
    east = {x.key: x.size for x in rig.regions[0].store.list("")}
    south = {x.key: x.size for x in rig.regions[2].store.list("")}
    assert east == south
    for key in east:
        mine, theirs = rig.regions[0].store.head(key), rig.regions[2].store.head(key)
        assert b"".join(rig.regions[0].store.get(key)) == b"".join(rig.regions[2].store.get(key))
        assert mine.checksum_sha256 == theirs.checksum_sha256 and theirs.lock_mode == "COMPLIANCE"
    report = verify_copy(
        rig.regions[2], outcome.backup_id, rig.keys.signing_key.public, now=rig.clock(), mode="full"
    )
    assert report.ok, report.problem
    assert rig.kinds(outcome.backup_id)[-1] == "copy.healed"
    assert heal(rig.ctx, outcome.backup_id).healed == ()
    assert rig.kinds(outcome.backup_id).count("copy.healed") == 1


def test_a_healed_backup_serves_the_next_one_as_reference(
    impatient: Rig, region_servers: list[LocalRegion], tmp_path: Path
) -> None:
    rig = impatient
    outcome = _degraded(rig, region_servers, _media(rig, tmp_path))
    heal(rig.ctx, outcome.backup_id)
    second = rig.back_up("media", "run-2")
    assert second.verdict == "sealed" and second.new_stored_bytes == 0


def test_wrong_bytes_in_one_origin_are_told_and_the_next_origin_is_used(
    impatient: Rig, region_servers: list[LocalRegion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = impatient
    outcome = _degraded(rig, region_servers, _media(rig, tmp_path))
    entry = rig.get(outcome.backup_id).manifest.objects[0]
    east = rig.regions[0]
    # A newer version with other bytes under the key: what a store that loses its mind would show.
    east.store.put(region_key(east.config.prefix, entry.key), os.urandom(1000), if_absent=False)
    result = heal(rig.ctx, outcome.backup_id)
    assert result.healed == ("cn-south",) and result.verdict == "degraded"
    assert verify_copy(
        rig.regions[2], outcome.backup_id, rig.keys.signing_key.public, now=rig.clock(), mode="full"
    ).ok
    with rig.ctx.connect() as conn:
        states = {(c.region, c.state) for c in catalogue.copies(conn, outcome.backup_id)}
    assert ("cn-east", "failed") in states and ("cn-south", "failed") not in states
    assert any("copy.damaged" in str(n) for n in rig.notices())


def test_wrong_bytes_under_a_key_of_the_target_are_left_and_told(
    impatient: Rig, region_servers: list[LocalRegion], tmp_path: Path
) -> None:
    rig = impatient
    outcome = _degraded(rig, region_servers, _media(rig, tmp_path))
    entry = rig.get(outcome.backup_id).manifest.objects[0]
    south = rig.regions[2]
    south.store.put(region_key(south.config.prefix, entry.key), b"something else")
    result = heal(rig.ctx, outcome.backup_id)
    assert result.verdict == "degraded" and "something else under" in result.problems["cn-south"]
    assert any("copy.damaged" in str(n) for n in rig.notices())
    told = len(rig.notices()), len(rig.kinds())
    heal(rig.ctx, outcome.backup_id)
    assert (len(rig.notices()), len(rig.kinds())) == told


def test_an_attempt_without_a_manifest_has_nothing_to_heal(rig: Rig, tmp_path: Path) -> None:
    source = _media(rig, tmp_path, 10)
    staged = stage(rig.ctx, source, RunRef(dag_id="tests", run_id="r"))
    with pytest.raises(NotFound, match="nothing to heal"):
        heal(rig.ctx, staged.backup_id)


def test_when_every_region_is_down_the_backup_fails_in_words(
    impatient: Rig, region_servers: list[LocalRegion], tmp_path: Path
) -> None:
    rig = impatient
    source = _media(rig, tmp_path)
    for server in region_servers:
        server.stop()
    with pytest.raises(RegionUnavailable, match="No region is left"):
        rig.back_up(source)
    assert rig.kinds()[-1] == "backup.failed"
    assert len(rig.notices()) == 1


def test_copies_that_no_region_can_show_again_make_the_backup_failed(
    impatient: Rig, region_servers: list[LocalRegion], tmp_path: Path
) -> None:
    rig = impatient
    source = _media(rig, tmp_path)
    staged = stage(rig.ctx, source, RunRef(dag_id="tests", run_id="r"))
    for server in region_servers:
        server.stop()
    with pytest.raises(RegionUnavailable, match="verified in no region"):
        judge(rig.ctx, staged.backup_id)
    assert rig.get(staged.backup_id).status == "failed"
    assert rig.kinds(staged.backup_id)[-1] == "backup.committed"


def _suspect(rig: Rig, tmp_path: Path) -> str:
    root = tmp_path / "docs"
    root.mkdir()
    for n in range(10):
        (root / f"{n}").write_text(f"{n}")
    source = rig.files_source("docs", root)
    rig.back_up(source)
    for n in range(6):
        (root / f"{n}").unlink()
    staged = stage(rig.ctx, source, RunRef(dag_id="tests", run_id="run-2"))
    assert not judge(rig.ctx, staged.backup_id).passed
    return staged.backup_id


def test_an_accepted_suspect_is_signed_in_every_region_and_is_the_new_measure(
    rig: Rig, tmp_path: Path
) -> None:
    backup_id = _suspect(rig, tmp_path)
    decide(rig.ctx, backup_id, accept=True, by="Lin Wei", reason="old drafts were deleted on purpose")
    row = rig.get(backup_id)
    assert (row.status, row.decided_by) == ("accepted", "Lin Wei")
    path = row.manifest.path
    for region in rig.regions:
        key = region_key(region.config.prefix, path.decision_key)
        value = open_signed("decision", region.store.read(key), rig.keys.signing_key.public)
        assert value["decision"] == "accept" and value["manifest_sha256"] == row.manifest_sha256
        assert region.store.head(key).lock_mode == "COMPLIANCE"
    records = rig.kinds(backup_id)
    assert records[-1] == "decision.made"
    decide(rig.ctx, backup_id, accept=True, by="Lin Wei", reason="old drafts were deleted on purpose")
    assert rig.kinds(backup_id) == records
    assert rig.back_up("docs", "run-3").verdict == "sealed"


def test_a_decision_is_made_once(rig: Rig, tmp_path: Path) -> None:
    backup_id = _suspect(rig, tmp_path)
    decide(rig.ctx, backup_id, accept=False, by="Lin Wei", reason="files were lost")
    with pytest.raises(IntegrityError, match="nothing to decide"):
        decide(rig.ctx, backup_id, accept=True, by="Lin Wei", reason="changed my mind")
    assert rig.get(backup_id).status == "rejected"


@pytest.mark.parametrize(("by", "reason"), [("", "because"), ("Lin Wei", "  ")])
def test_nobody_decides_without_a_name_and_a_reason(rig: Rig, tmp_path: Path, by: str, reason: str) -> None:
    with pytest.raises(ConfigError, match="a person and a reason"):
        decide(rig.ctx, "docs-20260101T000000Z-00000000", accept=True, by=by, reason=reason)


def test_a_sealed_backup_needs_no_decision(rig: Rig, tmp_path: Path) -> None:
    outcome = rig.back_up(_media(rig, tmp_path, 10))
    with pytest.raises(IntegrityError, match="nothing to decide"):
        decide(rig.ctx, outcome.backup_id, accept=True, by="Lin Wei", reason="why not")


def test_a_region_that_does_what_a_backup_needs_is_usable(rig: Rig) -> None:
    reports = probe_regions(rig.ctx)
    answers = {a.question: a for a in reports[0].answers}
    assert all(r.usable for r in reports)
    assert answers["locked version undeletable"].answer == "yes"
    assert answers["conditional writes"].answer == "honoured"
    assert answers["wrong checksum rejected"].ok and answers["clock"].ok
    assert answers["lock headers kept at multipart"].ok is not None
    assert rig.kinds() == ["region.probed"] * 3 and rig.notices() == []
    with rig.ctx.connect() as conn:
        kept = catalogue.latest_probe(conn, "cn-east")
    assert kept is not None and kept.report["usable"] is True


def test_a_probe_leaves_one_object_a_day_however_often_it_runs(rig: Rig) -> None:
    for _ in range(3):
        assert probe(rig.regions[0], rig.clock()).usable
    left = [x.key for x in rig.regions[0].store.list("")]
    assert left == [f"tidewatch/probes/{datetime.now(UTC):%Y-%m-%d}/locked"]
    versions = rig.regions[0].store.client.list_object_versions(Bucket=rig.regions[0].config.bucket)
    assert len(versions["Versions"]) == 1 and not versions.get("DeleteMarkers")


def test_a_bucket_without_lock_is_found_and_told(
    rig: Rig, region_servers: list[LocalRegion], local_region_factory: object
) -> None:
    bucket = f"plain-{os.urandom(6).hex()}"
    region_servers[0].create_bucket(bucket, object_lock=False)
    rig.regions[0] = local_region_factory(region_servers[0], bucket)  # type: ignore[operator]
    report = probe_regions(rig.ctx, ["cn-east"])[0]
    assert not report.usable and "object lock" in report.lacking
    assert len(rig.notices()) == 1 and "object lock" in str(rig.notices()[0])


def test_a_wrong_clock_is_found(rig: Rig) -> None:
    report = probe(rig.regions[0], rig.clock() + timedelta(days=1))
    assert "clock" in report.lacking


def test_a_region_that_is_down_is_an_answer_not_an_error(
    impatient: Rig, region_servers: list[LocalRegion]
) -> None:
    region_servers[1].stop()
    report = probe(impatient.regions[1], impatient.clock())
    assert report.lacking == ["reachable"] and not report.usable


def test_another_manifest_under_the_key_is_never_taken_for_ours(rig: Rig, tmp_path: Path) -> None:
    source = _media(rig, tmp_path, 10)
    staged = stage(rig.ctx, source, RunRef(dag_id="tests", run_id="r"))
    judge(rig.ctx, staged.backup_id)
    north = rig.regions[1]
    path = rig.get(staged.backup_id).manifest.path
    north.store.put(region_key(north.config.prefix, path.manifest_key), b"{}")
    outcome = commit(rig.ctx, staged.backup_id)
    assert outcome.verdict == "degraded" and "manifest" in outcome.missing["cn-north"]
    with pytest.raises(AlreadyExists):
        north.store.put(region_key(north.config.prefix, path.manifest_key), b"{}")
