"""`tidewatch restores`: made, listed, shown and signed from a shell."""

import hashlib
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from drill_rig import TARGETS, Shop

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))  # for runs of this directory alone

from cli_desk import Desk

from tidewatch.core.settings import load_settings


@pytest.fixture
def desk(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    desk = Desk(shop.rig, monkeypatch, capsys)
    config = shop.rig.home / "config"
    shutil.copytree(load_settings().project / "config" / "gates", config / "gates", dirs_exist_ok=True)
    (config / "restore_tests.yaml").write_text(yaml.safe_dump(TARGETS))
    desk.set(TIDEWATCH_IDENTITY_FILE=str(shop.rig.keys.identity_file))
    monkeypatch.setattr("getpass.getuser", lambda: "wang.wei")
    return desk


def test_a_run_is_made_shown_and_signed_by_somebody_else(desk: Desk, shop: Shop) -> None:
    chosen = ("--source", "pictures", "--region", "cn-north", "--no-older")
    made = desk("restores", "test", *chosen, "--run", "shell", "--json")
    assert made.code == 0, made.err
    [result] = made.json["results"]
    assert (result["status"], result["backup_id"]) == ("passed", shop.pictures)
    sha256 = hashlib.sha256(made.out.rstrip("\n").encode()).hexdigest()

    shown = desk("restores", "show", result["test_id"])
    assert shown.code == 0 and "hashes" in shown.out and "DIFFERS" not in shown.out
    assert sha256 in desk("restores", "show", "shell").out
    assert desk("restores", "show", "shell", "--json").out == made.out
    [row] = [r for r in desk("restores", "list", "--json").json if r["run_id"] == "shell"]
    assert row["test_id"] == result["test_id"] and row["problem"] is None
    assert result["test_id"] in desk("restores", "list", "--source", "pictures").out

    own = desk("restores", "sign", "shell", "--by", "wang.wei")
    assert own.code == 3 and "may not sign" in own.err
    other = desk("restores", "sign", "shell", "--by", "li.na", "--sha256", sha256, "--json")
    assert (other.code, other.json["decision"], other.json["report_sha256"]) == (0, "signed", sha256)
    [run] = [r for r in desk("restores", "list", "--runs", "--json").json if r["run_id"] == "shell"]
    assert (run["signed_by"], run["started_by"], run["passed"]) == ("li.na", "wang.wei", True)
    assert "signed by li.na" in desk("restores", "list", "--runs").out


def test_a_test_that_does_not_pass_is_exit_code_1_and_is_said(desk: Desk, shop: Shop) -> None:
    pack = shop.rig.get(shop.pictures).manifest.objects[0]
    good = b"".join(shop.region("cn-east").store.get(f"tidewatch/{pack.key}"))
    shop.cover("cn-east", pack.key, lambda b: b[:-1])
    chosen = ("--source", "pictures", "--region", "cn-east", "--no-older", "--run", "shell-bad")
    failed = desk("restores", "test", *chosen)
    assert failed.code == 1 and "NOT PASSED" in failed.out and "cn-east" in failed.out
    shop.cover("cn-east", pack.key, lambda _: good)
    again = desk("restores", "test", *chosen)
    assert again.code == 0 and "2 attempts, 1 not passed" in again.out

    assert desk("restores", "show", "rt-20200101T000000Z-00000000").code == 3
    assert desk("restores", "show", "no-such-run").code == 3
    assert desk("restores", "test", "--region", "cn-west").code == 3
    nobody = desk("restores", "sign", "shell-bad", "--by", "li.na", "--refuse")
    assert nobody.code == 3 and "a refusal says why" in nobody.err
