"""`tidewatch backup accept | reject`: a person's word, and hostile names on the way there."""

import json

import pytest
from backup_rig import run_sql
from cli_desk import Desk

from tidewatch.backup.run import RunRef, judge, stage
from tidewatch.local.s3 import LocalRegion

BY = ("--by", "Li Wei", "--reason", "old drafts were deleted")
HOSTILE = "[red]x[/red]\x1b[31m\n\u202edetaler"


@pytest.fixture
def suspect(desk: Desk) -> Desk:
    """`desk.backup_id` is a suspect: most files are gone since the backup before."""
    root = desk.home / "docs"
    root.mkdir()
    for n in range(10):
        (root / f"{n}").write_text(f"{n}")
    desk.rig.files_source("docs", root)
    desk.rig.back_up("docs")
    for n in range(6):
        (root / f"{n}").unlink()
    desk.backup_id = _suspect(desk, "docs")
    desk.configure()
    return desk


def _suspect(desk: Desk, source: str) -> str:
    staged = stage(desk.rig.ctx, source, RunRef(dag_id="tests", run_id="run-2"))
    assert not judge(desk.rig.ctx, staged.backup_id).passed
    assert desk.rig.get(staged.backup_id).status == "suspect"
    return staged.backup_id


@pytest.mark.parametrize(("word", "status"), [("accept", "accepted"), ("reject", "rejected")])
def test_a_word_on_a_suspect_is_kept_and_not_undone(suspect: Desk, word: str, status: str) -> None:
    said = suspect("backup", word, suspect.backup_id, *BY)
    assert said.code == 0 and f"is now {status}" in said.out
    row = suspect.rig.get(suspect.backup_id)
    assert (row.status, row.decided_by, row.decision_reason) == (status, "Li Wei", BY[-1])
    assert suspect.rig.kinds(suspect.backup_id)[-1] == "decision.made"
    records = suspect.rig.kinds()
    assert suspect("backup", word, suspect.backup_id, *BY).code == 0
    other = suspect("backup", {"accept": "reject", "reject": "accept"}[word], suspect.backup_id, *BY)
    assert other.code == 3 and "made once" in other.err and other.out == ""
    assert suspect.rig.kinds() == records


def test_latest_finds_the_suspect(suspect: Desk) -> None:
    assert suspect("backup", "accept", "latest:docs", *BY).code == 0
    assert suspect.rig.get(suspect.backup_id).status == "accepted"


def test_a_sealed_backup_needs_no_word(backed_up: Desk) -> None:
    said = backed_up("backup", "accept", backed_up.backup_id, *BY)
    assert said.code == 3 and "nothing to decide" in said.err


def test_nobody_decides_nothing(suspect: Desk) -> None:
    assert suspect("backup", "accept", suspect.backup_id, "--by", "Li Wei").code == 2
    said = suspect("backup", "accept", suspect.backup_id, "--by", " ", "--reason", "because")
    assert said.code == 3 and "--by NAME --reason TEXT" in said.err
    assert suspect.rig.get(suspect.backup_id).status == "suspect"


def test_a_region_that_does_not_keep_the_word_is_told(
    suspect: Desk, region_servers: list[LocalRegion]
) -> None:
    region_servers[1].stop()
    said = suspect("backup", "accept", suspect.backup_id, *BY)
    assert said.code == 0 and "not kept in cn-north" in said.err


def test_the_gates_reasons_are_shown(suspect: Desk) -> None:
    shown = suspect("backup", "show", suspect.backup_id).out
    assert "The gate refused it:" in shown
    for failure in suspect.rig.get(suspect.backup_id).manifest.gate.failures:  # type: ignore[union-attr]
        assert f"- {failure}" in shown


def test_hostile_names_are_shown_as_text_and_do_nothing(desk: Desk, database: str) -> None:
    run_sql(database, f'create table "{HOSTILE}" (n int)', "create table kept (n int)")
    run_sql(database, f'insert into "{HOSTILE}" select generate_series(1, 100)')
    desk.rig.postgres_source("ops", database)
    desk.rig.back_up("ops")
    run_sql(database, f'delete from "{HOSTILE}" where n > 10')
    backup_id = _suspect(desk, "ops")

    said = desk("backup", "show", backup_id)
    assert said.code == 0
    assert r"[red]x[/red]\x1b[31m\n\u202edetaler" in said.out
    assert not {"\x1b", "\u202e"} & set(said.out)
    failures = said.out.partition("The gate refused it:")[2]
    assert r"\x1b[31m" in failures, failures

    as_json = desk("backup", "show", backup_id, "--json")
    assert not {"\x1b", "\u202e"} & set(as_json.out)
    tables = [t["name"] for t in json.loads(as_json.out)["manifest"]["database"]["tables"]]
    assert HOSTILE in tables


def test_a_hostile_name_of_a_person_is_only_a_name(suspect: Desk) -> None:
    decided = suspect("backup", "reject", suspect.backup_id, "--by", HOSTILE, "--reason", "[bold]\x07")
    assert decided.code == 0
    shown = suspect("backup", "show", suspect.backup_id)
    assert shown.code == 0 and not {"\x1b", "\u202e", "\x07"} & set(shown.out)
    assert r"decided_by: [red]x[/red]\x1b[31m\n\u202edetaler" in shown.out
