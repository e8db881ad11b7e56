"""Which backup a restore takes, asked of the region alone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from drill_rig import Shop

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import ConfigError, IntegrityError, NotFound, UnsupportedVersion
from tidewatch.core.regions import Region
from tidewatch.core.signing import SigningKey
from tidewatch.restore.choose import choose
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.plan import Request, make_plan
from tidewatch.vault.layout import BackupPath, new_backup_id, region_key
from tidewatch.vault.manifest import sign
from tidewatch.vault.signed import sign_document


class Ghosts:
    """Signed manifests of backups without objects, put into the first region under a source of their own.

    They stay there: nothing is put into cn-north, from which test_disaster_page.py rebuilds the catalogue.
    """

    def __init__(self, shop: Shop, source: str) -> None:
        self.shop, self.source = shop, source
        self.region = shop.rig.regions[0]
        self.model = shop.rig.get(shop.pictures).manifest
        self.ids: list[str] = []

    def put(
        self,
        verdict: str,
        *,
        minute: int,
        region: Region | None = None,
        key: SigningKey | None = None,
        **raw: Any,
    ) -> str:
        at = self.model.started_at + timedelta(minutes=minute)
        backup_id = new_backup_id(self.source, at, bytes([0, 0, 0, minute]))
        manifest = self.model.model_copy(
            update={
                "backup_id": backup_id,
                "source": self.source,
                "started_at": at,
                "snapshot_at": at,
                "verdict": verdict,
                "objects": [],
                "files": [],
                "copies": [],
            }
        )
        key = key or self.shop.rig.keys.signing_key
        data = sign(manifest, key)
        if raw:
            data = sign_document("manifest", manifest.to_json() | raw, key)
        self._put(BackupPath("", self.source, backup_id).manifest_key, data, region)
        self.ids.append(backup_id)
        self.data = data
        return backup_id

    def decide(self, backup_id: str, decision: str) -> None:
        word = {
            "about": backup_id,
            "decision": decision,
            "decided_by": "Li Wei",
            "reason": "meant",
            "decided_at": "2026-11-22T16:00:00.000000Z",
            "manifest_sha256": sha256_hex(self.data),
        }
        data = sign_document("decision", word, self.shop.rig.keys.signing_key)
        self._put(BackupPath("", self.source, backup_id).decision_key, data, None)

    def _put(self, relative: str, data: bytes, region: Region | None) -> None:
        place = region or self.region
        place.store.put(region_key(place.config.prefix, relative), data)

    def chosen(self, **asked: Any) -> Any:
        given = {"at": None, "backup_id": None, **asked}
        return choose(self.shop.ctx, self.source, region=self.region, **given)


def test_the_newest_good_one_is_taken_and_what_is_passed_over_is_told(shop: Shop) -> None:
    ghosts = Ghosts(shop, "ghost_a")
    good = ghosts.put("sealed", minute=1)
    suspect = ghosts.put("suspect", minute=2)
    failed = ghosts.put("failed", minute=3)
    forged = ghosts.put("sealed", minute=4, key=SigningKey.generate())
    found = ghosts.chosen()
    assert (found.backup_id, found.standing) == (good, "sealed")
    told = " ".join(found.remarks)
    assert f"{suspect} was passed over: it is suspect" in told
    assert f"{failed} was passed over: it is failed" in told
    assert f"{forged} was passed over: A signature was made by another key" in told


def test_a_suspect_one_counts_once_somebody_has_accepted_it(shop: Shop) -> None:
    ghosts = Ghosts(shop, "ghost_b")
    ghosts.put("degraded", minute=1)
    accepted = ghosts.put("suspect", minute=2)
    ghosts.decide(accepted, "accept")
    rejected = ghosts.put("suspect", minute=3)
    ghosts.decide(rejected, "reject")
    assert (ghosts.chosen().backup_id, ghosts.chosen().standing) == (accepted, "accepted")
    assert ghosts.chosen(backup_id=rejected).standing == "rejected", "one that is named is given"


def test_at_a_time_the_newest_whose_snapshot_is_not_later(shop: Shop) -> None:
    ghosts = Ghosts(shop, "ghost_c")
    ids = [ghosts.put("sealed", minute=minute) for minute in (1, 5, 9)]
    base = ghosts.model.started_at
    for minute, wanted in ((1, ids[0]), (4.9, ids[0]), (5, ids[1]), (60, ids[2])):
        assert ghosts.chosen(at=base + timedelta(minutes=minute)).backup_id == wanted
    with pytest.raises(NotFound, match="no good backup of ghost_c from before"):
        ghosts.chosen(at=base)


def test_a_manifest_of_a_newer_tidewatch_is_an_error_and_no_reason_to_take_an_older_one(shop: Shop) -> None:
    ghosts = Ghosts(shop, "ghost_d")
    ghosts.put("sealed", minute=1)
    ghosts.put("sealed", minute=2, version=2)
    with pytest.raises(UnsupportedVersion, match=r"format version 2.*upgrade Tidewatch"):
        ghosts.chosen()


def test_a_named_backup_must_be_of_the_source_and_there_and_genuine(shop: Shop) -> None:
    ghosts = Ghosts(shop, "ghost_e")
    forged = ghosts.put("sealed", minute=1, key=SigningKey.generate())
    with pytest.raises(IntegrityError, match="another key"):
        ghosts.chosen(backup_id=forged)
    with pytest.raises(ConfigError, match="not a backup of ghost_e"):
        ghosts.chosen(backup_id=shop.latest)
    with pytest.raises(NotFound, match="no manifest of"):
        ghosts.chosen(backup_id=forged[:-1] + "f")


def test_a_manifest_that_was_covered_is_found_below(shop: Shop) -> None:
    ghosts = Ghosts(shop, "ghost_f")
    backup_id = ghosts.put("sealed", minute=1)
    key = BackupPath(ghosts.region.config.prefix, "ghost_f", backup_id).manifest_key
    ghosts.region.store.put(key, ghosts.data.replace(b"sealed", b"sealeD"), if_absent=False)
    found = ghosts.chosen()
    assert found.backup_id == backup_id and "the version below it is genuine" in found.remarks[0]


def test_of_several_regions_the_one_with_the_newest_backup_is_asked_first(shop: Shop, tmp_path: Any) -> None:
    ghosts = Ghosts(shop, "ghost_g")
    ghosts.put("sealed", minute=1)
    newer = ghosts.put("sealed", minute=2, region=shop.rig.regions[2])
    ctx = _anywhere_below(shop, tmp_path)
    plan = make_plan(ctx, Request("ghost_g", f"directory:{tmp_path}/x"))
    assert plan.chosen.backup_id == newer
    assert [r.name for r in plan.order] == ["cn-south", "cn-east", "cn-north"]
    named = make_plan(ctx, Request("ghost_g", f"directory:{tmp_path}/x", region="cn-east"))
    assert (named.chosen.backup_id, len(named.order)) == (ghosts.ids[0], 1)
    with pytest.raises(NotFound, match="no region cn-west"):
        make_plan(ctx, Request("ghost_g", f"directory:{tmp_path}/x", region="cn-west"))


def test_the_newest_good_one_is_taken_wherever_it_lies_although_a_newer_attempt_lies_elsewhere(
    shop: Shop, tmp_path: Any
) -> None:
    south = shop.rig.regions[2]
    ctx, base = _anywhere_below(shop, tmp_path), Ghosts(shop, "ghost_h").model.started_at

    # The manifest of the newest one is none in the first region.
    ghosts = Ghosts(shop, "ghost_h")
    ghosts.put("sealed", minute=1)
    newest = ghosts.put("sealed", minute=2, key=SigningKey.generate())
    assert newest == ghosts.put("sealed", minute=2, region=south)
    plan = make_plan(ctx, Request("ghost_h", f"directory:{tmp_path}/x"))
    assert (plan.chosen.backup_id, plan.order[0]) == (newest, south)
    assert any(r.startswith(f"cn-east: {newest} was passed over: A signature was") for r in plan.remarks)

    # The newest attempt, in one region only, is suspect; or too young for the time that was asked for.
    ghosts = Ghosts(shop, "ghost_i")
    ghosts.put("sealed", minute=1)
    good = ghosts.put("degraded", minute=2, region=south)
    ghosts.put("suspect", minute=3)
    assert make_plan(ctx, Request("ghost_i", f"directory:{tmp_path}/x")).chosen.backup_id == good
    ghosts.put("sealed", minute=5)
    early = Request("ghost_i", f"directory:{tmp_path}/x", at=base + timedelta(minutes=4))
    assert make_plan(ctx, early).chosen.backup_id == good


def test_what_a_newer_tidewatch_wrote_in_one_region_is_no_reason_to_take_an_older_one_of_another(
    shop: Shop, tmp_path: Any
) -> None:
    ghosts = Ghosts(shop, "ghost_j")
    ghosts.put("sealed", minute=1, region=shop.rig.regions[2])
    ghosts.put("sealed", minute=2, version=2)
    with pytest.raises(UnsupportedVersion, match="format version 2"):
        make_plan(_anywhere_below(shop, tmp_path), Request("ghost_j", f"directory:{tmp_path}/x"))


def _anywhere_below(shop: Shop, place: Any) -> RestoreContext:
    """The shop's context, where a restore may write to every directory below `place`."""
    settings = shop.rig.settings.model_copy(update={"config_dir": place, "home": place})
    (place / "restore.yaml").write_text(f"scratch: ['directory:{place}/*']\n")
    return replace(shop.ctx, settings=settings)
