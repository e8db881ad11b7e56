"""`tidewatch backup list | show | verify` on backups in real regions."""

import json
from pathlib import Path

import pytest
from cli_desk import WAREHOUSE, Desk

from tidewatch.core.regions import Region
from tidewatch.core.signing import SigningKey
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault.layout import region_key
from tidewatch.vault.manifest import sign

REGIONS = {"cn-east", "cn-north", "cn-south"}
UNKNOWN = "media-20200101T000000Z-00000000"


def _verified(said: object) -> dict[str, bool]:
    return {r["region"]: r["verified"] for r in said.json}  # type: ignore[attr-defined]


# -- list and show -----------------------------------------------------------------------------------------


def test_the_list_names_each_backup_and_where_it_is_verified(backed_up: Desk) -> None:
    said = backed_up("backup", "list")
    assert (said.code, said.err) == (0, "")
    assert backed_up.backup_id in said.out and "sealed" in said.out and "2 files" in said.out
    assert "cn-east cn-north cn-south" in said.out


def test_the_list_as_json_is_json_and_nothing_else(backed_up: Desk) -> None:
    said = backed_up("backup", "list", "--json")
    assert (said.code, said.err) == (0, "")
    (row,) = said.json
    assert row["backup_id"] == backed_up.backup_id and row["status"] == "sealed" and row["files"] == 2
    assert set(row["verified_in"]) == REGIONS


def test_the_list_can_be_of_one_source_and_of_the_newest(backed_up: Desk) -> None:
    second = backed_up.rig.back_up("media", "run-2").backup_id
    assert [r["backup_id"] for r in backed_up("backup", "list", "--json", "-n", "1").json] == [second]
    assert len(backed_up("backup", "list", "--source", "media", "--json").json) == 2
    assert backed_up("backup", "list", "--source", "unused", "--json").json == []


def test_an_empty_list_is_said_in_words(desk: Desk) -> None:
    assert desk("backup", "list").out == "There is no backup yet.\n"
    assert desk("backup", "list", "--source", "ops").out == "There is no backup of ops yet.\n"
    assert desk("backup", "list", "--json").json == []


def test_one_backup_is_shown_with_objects_copies_and_locks(backed_up: Desk) -> None:
    said = backed_up("backup", "show", backed_up.backup_id)
    assert said.code == 0
    manifest = backed_up.rig.get(backed_up.backup_id).manifest
    for entry in manifest.objects:
        assert entry.name in said.out and entry.cipher_sha256 in said.out
    assert said.out.count("COMPLIANCE") == 3 * (len(manifest.objects) + 1)  # and the manifest itself
    assert "2 files; `--json` lists them." in said.out


def test_one_backup_as_json_carries_the_whole_manifest(backed_up: Desk) -> None:
    shown = backed_up("backup", "show", backed_up.backup_id, "--json").json
    assert [f["path"] for f in shown["manifest"]["files"] if f["type"] == "file"] == ["a.txt", "b.bin"]
    assert {c["region"] for c in shown["copies"]} == REGIONS


def test_latest_is_the_newest_of_that_source(backed_up: Desk) -> None:
    second = backed_up.rig.back_up("media", "run-2").backup_id
    assert backed_up("backup", "show", "latest:media", "--json").json["backup_id"] == second
    assert {r["backup_id"] for r in backed_up("backup", "verify", "latest:media", "--json").json} == {second}


@pytest.mark.parametrize("command", ["show", "verify"])
@pytest.mark.parametrize("backup_id", [UNKNOWN, "latest:nobody", "nonsense", "[red]x\x1b[31m", "latest:"])
def test_what_nobody_knows_is_not_done_and_the_way_on_is_said(
    desk: Desk, command: str, backup_id: str
) -> None:
    said = desk("backup", command, backup_id)
    assert (said.code, said.out) == (3, "")
    assert "`tidewatch backup list`" in said.err and "What to do" in said.err
    assert "\x1b" not in said.err


# -- verify ------------------------------------------------------------------------------------------------


def test_whole_copies_are_verified_by_reading_all_of_them(backed_up: Desk) -> None:
    said = backed_up("backup", "verify", backed_up.backup_id)
    assert said.code == 0 and said.err == ""
    assert all(region in said.out for region in REGIONS) and "NOT VERIFIED" not in said.out
    as_json = backed_up("backup", "verify", backed_up.backup_id, "--json")
    assert _verified(as_json) == dict.fromkeys(REGIONS, True)
    assert {o["mode"] for r in as_json.json for o in r["objects"]} == {"full"}


def test_quick_compares_what_the_store_recorded(backed_up: Desk) -> None:
    said = backed_up("backup", "verify", backed_up.backup_id, "--quick", "--json")
    assert said.code == 0
    assert {o["mode"] for r in said.json for o in r["objects"]} == {"checksum"}


@pytest.mark.parametrize("options", [[], ["--quick"]])
def test_other_bytes_in_one_region_are_named_with_region_and_difference(
    backed_up: Desk, options: list[str]
) -> None:
    backed_up.overwrite(backed_up.rig.regions[1], backed_up.object_key, b"something else")
    said = backed_up("backup", "verify", backed_up.backup_id, *options)
    assert said.code == 1
    (line,) = [x for x in said.out.splitlines() if "NOT VERIFIED" in x]
    assert "cn-north" in line and "SHA-256" in said.out and "size: expected" in said.out
    as_json = backed_up("backup", "verify", backed_up.backup_id, "--json", *options)
    assert as_json.code == 1
    assert _verified(as_json) == {"cn-east": True, "cn-north": False, "cn-south": True}


def test_only_the_regions_that_are_named_count(backed_up: Desk) -> None:
    backed_up.overwrite(backed_up.rig.regions[1], backed_up.object_key, b"something else")
    verify = ("backup", "verify", backed_up.backup_id, "--json", "--region")
    assert _verified(backed_up(*verify, "cn-east")) == {"cn-east": True}
    assert backed_up(*verify, "cn-east").code == 0
    assert backed_up(*verify, "cn-east", "--region", "cn-north").code == 1
    unknown = backed_up(*verify, "cn-west")
    assert unknown.code == 3 and "cn-east, cn-north, cn-south" in unknown.err


def test_a_region_that_is_down_is_said_in_words(backed_up: Desk, region_servers: list[LocalRegion]) -> None:
    region_servers[2].stop()
    said = backed_up("backup", "verify", backed_up.backup_id)
    assert said.code == 1
    (line,) = [x for x in said.out.splitlines() if "NOT VERIFIED" in x]
    assert "cn-south" in line and "What to do" in said.out and "Traceback" not in said.err


def test_an_altered_manifest_is_not_believed(backed_up: Desk) -> None:
    south = backed_up.rig.regions[2]
    data = south.store.read(region_key(south.config.prefix, backed_up.manifest_key))
    backed_up.overwrite(south, backed_up.manifest_key, data.replace(b'"sealed"', b'"failed"'))
    said = backed_up("backup", "verify", backed_up.backup_id, "--json")
    assert said.code == 1 and _verified(said) == {"cn-east": True, "cn-north": True, "cn-south": False}
    assert "signature" in {r["region"]: r["problem"] for r in said.json}["cn-south"]


def test_a_manifest_signed_by_somebody_else_is_not_believed(backed_up: Desk) -> None:
    manifest = backed_up.rig.get(backed_up.backup_id).manifest
    backed_up.overwrite(
        backed_up.rig.regions[0], backed_up.manifest_key, sign(manifest, SigningKey.generate())
    )
    said = backed_up("backup", "verify", backed_up.backup_id, "--json")
    assert said.code == 1 and _verified(said)["cn-east"] is False
    assert "another key" in said.out


def test_a_backup_that_the_regions_lost_is_wrong_and_not_unknown(backed_up: Desk) -> None:
    for region in backed_up.rig.regions:
        key = region_key(region.config.prefix, backed_up.manifest_key)
        region.store.delete(key)  # a delete marker: the locked version stays, but is not seen
    said = backed_up("backup", "verify", backed_up.backup_id)
    assert said.code == 1 and said.out.count("there is no manifest of this backup") == 3


def test_copies_are_verified_without_the_warehouse(backed_up: Desk) -> None:
    backed_up.set(**{WAREHOUSE: None})
    assert backed_up("backup", "verify", backed_up.backup_id).code == 0
    latest = backed_up("backup", "verify", "latest:media")
    assert latest.code == 3 and WAREHOUSE in latest.err


def test_a_region_that_the_source_does_not_use_is_not_missed(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "few"
    root.mkdir()
    (root / "a").write_text("a")
    desk.rig.files_source("few", root, regions=["cn-east", "cn-south"])
    outcome = desk.rig.back_up("few")
    assert outcome.verdict == "sealed"
    said = desk("backup", "verify", outcome.backup_id, "--json")
    assert said.code == 0 and _verified(said) == {"cn-east": True, "cn-south": True}
    assert desk("backup", "verify", outcome.backup_id, "--region", "cn-north").code == 1


def test_a_region_that_missed_the_backup_is_missed(
    desk: Desk, tmp_path: Path, region_servers: list[LocalRegion]
) -> None:
    from dataclasses import replace

    rig, root = desk.rig, tmp_path / "files"
    root.mkdir()
    (root / "a").write_text("a")
    rig.files_source("media", root)
    rig.regions = [Region(r.config, replace(r.address, attempts=1)) for r in rig.regions]
    region_servers[2].stop()
    outcome = rig.back_up("media")
    assert outcome.verdict == "degraded"
    region_servers[2].start()
    said = desk("backup", "verify", outcome.backup_id, "--json")
    assert said.code == 1 and _verified(said) == {"cn-east": True, "cn-north": True, "cn-south": False}


def test_without_the_public_key_nothing_is_verified(backed_up: Desk, tmp_path: Path) -> None:
    backed_up.set(TIDEWATCH_VERIFY_KEY_FILE=str(tmp_path / "gone.pem"))
    said = backed_up("backup", "verify", backed_up.backup_id)
    assert (said.code, said.out) == (3, "") and "gone.pem" in said.err


def test_every_json_answer_is_the_same_data_in_a_terminal_without_utf8(backed_up: Desk) -> None:
    (backed_up.home / "media" / "潮水 \U0001f30a é").write_text("x")
    backed_up.rig.back_up("media", "run-2")
    here = backed_up("backup", "show", "latest:media", "--json")
    plain = backed_up.process("backup", "show", "latest:media", "--json", PYTHONIOENCODING="ascii")
    assert plain.code == 0 and plain.out.isascii() and json.loads(plain.out) == here.json
    assert "潮水 \U0001f30a é" in here.out


def test_a_backup_is_listed_in_one_piece_on_a_terminal_of_80_columns(
    backed_up: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    for width, whole in ((80, True), (40, False)):
        monkeypatch.setattr(
            "tidewatch.cli.common.Console",
            lambda width=width: Console(width=width, force_terminal=True, color_system=None),
        )
        shown = backed_up("backup", "list").out
        assert (backed_up.backup_id in shown) is whole, shown
        assert max(len(line) for line in shown.splitlines()) <= width
        assert set(backed_up.backup_id) <= set(shown), "folded, not cut off"
