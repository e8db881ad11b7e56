"""`tidewatch models`: from a file to the champion, and back."""

import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_desk import Desk

from tidewatch.core.database import connect
from tidewatch.sentiment.model import Model
from tidewatch.sentiment.registry import register
from tidewatch.sentiment.train import train

sys.path.insert(0, str(Path(__file__).parent.parent / "sentiment"))

from posts import posts

SAYING = ("--by", "Li Wei", "--reason", "better on every platform")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models."""
    home = tmp_path_factory.mktemp("models")
    found = []
    for seed in (1, 2):
        texts, labels = posts(150, seed)
        found.append(home / f"{seed}.model")
        train(texts, labels, seed=seed, bits=10).save(found[-1])
    return found


def test_a_model_is_registered_promoted_rolled_back_and_fetched(desk: Desk, files: list[Path]) -> None:
    assert "No version" in desk("models", "list").out
    assert desk("models", "fetch", "--to", str(desk.home / "champion.model")).code == 3
    for number, file in enumerate(files, 1):
        assert desk("models", "register", str(file), "--by", "Li Wei", "--json").json["version"] == number
    assert desk("models", "promote", "1", *SAYING).code == 0
    refused = desk("models", "promote", "2", *SAYING)
    assert refused.code == 3 and "no champion as the champion, which it was compared with" in refused.err
    assert desk("models", "promote", "2", "--instead-of", "1", *SAYING).code == 0
    listed = desk("models", "list")
    assert listed.code == 0 and "champion" in listed.out and "Li Wei" in listed.out
    assert [v["champion"] for v in desk("models", "list", "--json").json] == [False, True]
    back = desk("models", "rollback", "--by", "Li Wei", "--reason", "no")
    assert back.code == 0 and "Version 1 is the champion again" in back.out
    target = desk.home / "champion.model"
    assert desk("models", "fetch", "--to", str(target)).code == 0
    assert target.read_bytes() == files[0].read_bytes()
    assert desk("models", "fetch", "2", "--to", str(target)).code == 3, "the name is taken"
    assert Model.load(target).header["dataset_sha256"]


def test_a_file_that_was_changed_is_not_registered(desk: Desk, files: list[Path]) -> None:
    content = bytearray(files[0].read_bytes())
    content[-100] ^= 1
    changed = desk.home / "changed.model"
    changed.write_bytes(content)
    said = desk("models", "register", str(changed), "--by", "Li Wei")
    assert said.code == 3 and "Expected:" in said.err
    assert desk("models", "register", str(desk.home / "none"), "--by", "Li Wei").code == 3
    assert desk("models", "list", "--json").json == []


def test_a_version_scores_beside_the_champion_until_it_is_ended(desk: Desk, files: list[Path]) -> None:
    assert "No version scores beside" in desk("models", "shadow").out
    for file in files:
        desk("models", "register", str(file), "--by", "Li Wei")
    desk("models", "promote", "1", *SAYING)
    unnamed = desk("models", "shadow", "2")
    assert unnamed.code == 3 and "no --by or no --reason" in unnamed.err
    assert desk("models", "shadow", "2", "--end", *SAYING).code == 3, "begin or end?"
    assert "Version 2 scores as the shadow" in desk("models", "shadow", "2", *SAYING).out
    config = Path(__file__).parents[2] / "config" / "labels.yaml"
    (desk.home / "config").mkdir(exist_ok=True)
    shutil.copy(config, desk.home / "config")
    table = desk.home / "posts.csv"
    table.write_text("text\n" + "\n".join(posts(20, 3)[0]) + "\n", encoding="utf-8")
    offered = desk("labels", "offer", str(table))
    assert offered.code == 0 and "Version 2 scored them too" in offered.out
    shown = desk("models", "shadow")
    assert "Version 2 scores beside version 1" in shown.out and "champion says" in shown.out
    pairs = desk("models", "shadow", "--json").json["pairs"]
    assert sum(pair["texts"] for pair in pairs) == desk("labels", "offer", str(table), "--json").json["texts"]
    assert "no shadow any more" in desk("models", "shadow", "--end", *SAYING).out
    assert desk("models", "shadow", "--json").json == {"shadow": None, "pairs": []}


def test_a_version_that_says_nothing_of_how_it_did_does_not_hide_the_others(
    desk: Desk, files: list[Path]
) -> None:
    assert desk("models", "register", str(files[0]), "--by", "Li Wei").code == 0
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        for place, metrics in enumerate(({}, {"held_out": None}, {"held_out": {"accuracy": "x"}})):
            register(
                conn, b"%d" % place, dataset_sha256="0" * 64, parameters={}, metrics=metrics,
                compared_with=None, run=None, by="Li Wei", now=datetime(2026, 11, 3, tzinfo=UTC),
            )  # fmt: skip
    listed = desk("models", "list")
    assert listed.code == 0 and len(re.findall("Li Wei", listed.out)) == 4
