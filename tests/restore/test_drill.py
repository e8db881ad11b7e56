"""Restore tests for real: what is good passes, and what is not fails with the right words."""

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from drill_rig import Shop, run
from hypothesis import given
from hypothesis import strategies as st

from tidewatch.core.database import try_lock
from tidewatch.core.errors import Busy, NotFound, RegionUnavailable
from tidewatch.evidence.findings import open_findings
from tidewatch.restore import drill, results, trial
from tidewatch.restore.drill import Selection, plan, run_test
from tidewatch.restore.recording import Outcome, RestoreTestFailed
from tidewatch.restore.results import Planned
from tidewatch.restore.targets import RestoreTestsFile


def make(shop: Shop, planned: Planned, run_id: str = "run-a") -> Outcome:
    return run_test(shop.ctx, planned, run(run_id), shop.targets)


def findings(shop: Shop) -> list[str]:
    with shop.ctx.connect() as conn:
        return [f.key for f in open_findings(conn)]


def test_a_run_takes_the_newest_and_one_older_backup_from_each_region(shop: Shop) -> None:
    planned = plan(shop.ctx, "run-a", Selection(), older=True)
    assert planned == plan(shop.ctx, "run-a", Selection(), older=True)
    assert {(p.source, p.region, p.choice, p.backup_id) for p in planned} == {
        (source, region, choice, backup)
        for region in ("cn-east", "cn-north", "cn-south")
        for source, choice, backup in (
            ("shop", "latest", shop.latest),
            ("shop", "older", shop.older),
            ("pictures", "latest", shop.pictures),
        )
    }
    few = plan(shop.ctx, "run-a", Selection(("shop",), ("cn-north",)), older=False)
    assert few == [Planned("shop", "cn-north", "latest", shop.latest)]
    with pytest.raises(NotFound, match="cn-west"):
        plan(shop.ctx, "run-a", Selection(regions=("cn-west",)), older=True)


def test_what_is_as_it_was_passes_and_is_recorded(shop: Shop) -> None:
    latest = make(shop, Planned("shop", "cn-east", "latest", shop.latest), "run-good")
    pictures = make(shop, Planned("pictures", "cn-south", "latest", shop.pictures), "run-good")
    assert [(o.status, o.attempt, o.problem) for o in (latest, pictures)] == [("passed", 1, None)] * 2
    with shop.ctx.connect() as conn:
        row, files = results.of_run(conn, "run-good")
    assert [c["name"] for c in row.checks] == [
        "manifest", "objects", "load", "schema", "tables", "sequences", "large objects", "grants", "roles",
        "replay", "constraints", "indexes", "rto", "rpo",
    ]  # fmt: skip
    assert [c["name"] for c in files.checks][3:] == [
        "paths", "sizes", "hashes", "modes", "links", "rto", "rpo",
    ]  # fmt: skip
    assert set(row.phases) == {"prepare", "fetch", "decrypt", "load", "check"}
    assert row.rto_seconds is not None and row.rpo_seconds is not None
    assert sum(row.phases.values()) <= row.rto_seconds * 1.1
    assert row.document is not None
    assert row.document["rpo"]["from"] == "shop.orders.placed"
    assert row.document["remarks"] == [
        "statement gone was not answered at backup time: UndefinedTable (42P01)"
    ]
    assert shop.rig.kinds(latest.test_id) == ["restore.tested"]
    assert findings(shop) == []
    assert list((shop.rig.settings.home / "scratch").iterdir()) == []


def test_one_byte_of_one_object_in_one_region_fails_there_alone_and_a_rerun_hides_nothing(
    shop: Shop,
) -> None:
    dump = shop.rig.get(shop.latest).manifest.objects[0]
    here = Planned("shop", "cn-south", "latest", shop.latest)
    good = b"".join(shop.region("cn-south").store.get(f"tidewatch/{dump.key}"))
    shop.cover("cn-south", dump.key, lambda b: b[:-100] + bytes([b[-100] ^ 1]) + b[-99:])

    outcome = make(shop, here, "run-byte")
    assert outcome.status == "failed"
    assert outcome.problem is not None
    assert (
        "objects" in outcome.problem
        and "cn-south" in outcome.problem
        and dump.cipher_sha256 in outcome.problem
    )
    with pytest.raises(RestoreTestFailed) as told:
        outcome.raise_if_failed()
    assert outcome.test_id in told.value.do
    assert findings(shop) == ["restore.test/shop/cn-south/latest"]
    [notice] = [n for n in shop.rig.notices() if "run-byte" in n["fact"]]
    assert notice["severity"] == "critical" and notice["act_now"]

    assert make(shop, here, "run-byte").attempt == 2
    shop.cover("cn-south", dump.key, lambda _: good)
    again = make(shop, here, "run-byte")
    assert (again.status, again.attempt) == ("passed", 3)
    assert findings(shop) == []
    with shop.ctx.connect() as conn:
        rows = results.of_run(conn, "run-byte")
    assert [r.status for r in rows] == ["failed", "failed", "passed"]
    assert len([n for n in shop.rig.notices() if "run-byte" in n["fact"]]) == 1, "one fact is told once"


def test_a_restored_copy_that_is_not_the_same_fails_by_the_name_of_what_differs(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = trial.load

    def tampered(*arguments: Any, **more: Any) -> Any:
        loaded = real(*arguments, **more)
        with psycopg.connect(arguments[3], autocommit=True) as conn:
            conn.execute("delete from shop.lines where line = 7")
            conn.execute("update shop.orders set total = 0.01 where id = 5")
            conn.execute("select setval('shop.tickets', 76)")
            conn.execute("revoke select on shop.orders from drill_reader")
            conn.execute("alter role drill_reader createdb")
        return loaded

    monkeypatch.setattr(trial, "load", tampered)
    outcome = make(shop, Planned("shop", "cn-north", "older", shop.older), "run-wrong")
    assert outcome.status == "failed"
    with shop.ctx.connect() as conn:
        [row] = results.of_run(conn, "run-wrong")
    wrong = {c["name"]: c for c in row.checks if not c["ok"]}
    assert set(wrong) == {"tables", "sequences", "grants", "roles", "replay"}
    assert wrong["tables"]["where"] == "table shop.lines" and wrong["tables"]["differences"] == 2
    assert wrong["tables"]["expected"].startswith("900 rows") and wrong["tables"]["found"].startswith(
        "899 rows"
    )
    assert (wrong["sequences"]["where"], wrong["sequences"]["found"]) == ("sequence shop.tickets", "76")
    assert wrong["grants"]["where"] == "table shop.orders"
    assert "drill_reader" in wrong["roles"]["where"]
    assert wrong["replay"]["where"] == "statement days"
    assert outcome.problem is not None and outcome.problem.startswith(
        "tables at table shop.lines: expected 900 rows"
    )
    assert row.rpo_seconds is None, "the age of an older backup says nothing about a loss"

    monkeypatch.undo()
    assert plan(shop.ctx, "other", Selection(("shop",), ("cn-north",)), older=True)[1].backup_id == shop.older
    assert make(shop, Planned("shop", "cn-north", "latest", shop.latest), "run-right").passed
    assert findings(shop) == ["restore.test/shop/cn-north/older"], "another backup's success closes nothing"
    assert make(shop, Planned("shop", "cn-north", "older", shop.older), "run-right").passed
    assert findings(shop) == []


def test_restored_files_that_are_not_the_same_fail_by_their_paths(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = trial.unpack

    def tampered(*arguments: Any) -> Any:
        unpacked = real(*arguments)
        tree: Path = arguments[3]
        (tree / "2026" / "春.txt").write_text("autumn")
        (tree / "empty").chmod(0o600)
        (tree / "more").write_text("not of the backup")
        (tree / "link").unlink()
        (tree / "link").symlink_to("/etc/passwd")
        (tree / "2026" / "b.bin").write_bytes(b"short")
        return unpacked

    monkeypatch.setattr(trial, "unpack", tampered)
    outcome = make(shop, Planned("pictures", "cn-east", "latest", shop.pictures), "run-files")
    with shop.ctx.connect() as conn:
        [row] = results.of_run(conn, "run-files")
    wrong = {c["name"]: (c["where"], c["expected"], c["found"]) for c in row.checks if not c["ok"]}
    assert wrong["paths"] == ("more", "no such path", "a file")
    assert wrong["modes"] == ("empty", "mode 0640", "mode 0600")
    assert wrong["links"] == ("link", "a link to 2026/b.bin", "a link to /etc/passwd")
    assert wrong["sizes"] == ("2026/b.bin", "16384 bytes", "5 bytes")
    assert wrong["hashes"][0] == "2026/b.bin"
    assert outcome.status == "failed"
    monkeypatch.undo()
    assert make(shop, Planned("pictures", "cn-east", "latest", shop.pictures), "run-files").passed


def test_a_backup_that_a_region_does_not_have_fails_and_targets_that_are_missed_do(
    shop: Shop,
) -> None:
    absent = "pictures-20200101T000000Z-00000000"
    outcome = make(shop, Planned("pictures", "cn-north", "latest", absent), "run-absent")
    assert outcome.status == "failed" and outcome.problem is not None
    assert outcome.problem.startswith("manifest") and "no such object" in outcome.problem

    strict = RestoreTestsFile.model_validate({"default": {"rto_seconds": 600, "rpo_seconds": 60}})
    shop.rig.clock.ahead = timedelta(minutes=5)
    late = run_test(
        shop.ctx, Planned("pictures", "cn-north", "latest", shop.pictures), run("run-late"), strict
    )
    shop.rig.clock.ahead = timedelta()
    assert late.status == "failed" and late.problem is not None
    assert late.problem.startswith("rpo: expected at most 60 s, found 3")
    assert make(shop, Planned("pictures", "cn-north", "latest", shop.pictures), "run-late").passed


def test_a_test_that_cannot_be_made_is_an_error_that_is_kept_and_told(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def down(*_: object, **__: object) -> None:
        raise RegionUnavailable("cn-east does not answer", expected="-", found="timeout", do="wait")

    monkeypatch.setattr(trial, "choose", down)
    here = Planned("pictures", "cn-east", "latest", shop.pictures)
    with pytest.raises(RegionUnavailable):
        make(shop, here, "run-down")
    with shop.ctx.connect() as conn:
        [row] = results.of_run(conn, "run-down")
    assert row.status == "error" and "does not answer" in (row.problem or "")
    assert findings(shop) == [here.finding]
    [notice] = [n for n in shop.rig.notices() if "run-down" in n["fact"]]
    assert notice["severity"] == "warning", "the task tries again by itself"

    def defect(*_: object, **__: object) -> None:
        raise ValueError("a row: 13800000000")

    monkeypatch.setattr(trial, "choose", defect)
    with pytest.raises(ValueError, match="a row"):
        make(shop, here, "run-down")
    monkeypatch.undo()
    assert make(shop, here, "run-down").attempt == 3
    with shop.ctx.connect() as conn:
        rows = results.of_run(conn, "run-down")
    assert [r.status for r in rows] == ["error", "error", "passed"]
    assert "13800000000" not in str(rows) and findings(shop) == []


def test_a_test_whose_process_died_has_an_end_and_one_that_lives_is_left_alone(
    shop: Shop,
) -> None:
    dies, lives = (Planned("shop", r, "latest", shop.latest) for r in ("cn-east", "cn-north"))
    with shop.ctx.connect() as conn:
        for planned in (dies, lives):
            results.begin(
                conn,
                planned,
                test_id=f"rt-{secrets.token_hex(4)}",
                dag_id="d",
                run_id="run-dead",
                rto_target=1,
                rpo_target=1,
                now=shop.ctx.now(),
            )
    with shop.ctx.connect() as holder:
        assert try_lock(holder, "restore.test/run-dead/shop/cn-north/latest")
        plan(shop.ctx, "run-next", Selection(("shop",)), older=False)
        with pytest.raises(Busy):
            make(shop, lives, "run-dead")
        with shop.ctx.connect() as conn:
            assert {r.region: r.status for r in results.of_run(conn, "run-dead")} == {
                "cn-east": "error",
                "cn-north": "running",
            }
    with shop.ctx.connect() as conn:
        drill.end_dead(conn, shop.ctx.now())
        assert {r.status for r in results.of_run(conn, "run-dead")} == {"error"}


@given(
    st.lists(st.sampled_from(["cn-east", "cn-north"]), max_size=8),
    st.text(min_size=1, max_size=20),
    st.booleans(),
)
def test_the_draw_is_of_older_backups_that_the_region_has(homes: list[str], run_id: str, older: bool) -> None:
    backups = [{"backup_id": f"b{i}", "regions": [home]} for i, home in enumerate(homes)]
    planned = drill._of_pair("s", "cn-east", backups, run_id, {}, older=older)
    assert planned == drill._of_pair("s", "cn-east", backups, run_id, {}, older=older)
    there = {str(b["backup_id"]) for b in backups[1:] if "cn-east" in b["regions"]}
    assert [p.choice for p in planned] == ["latest"] * bool(backups) + ["older"] * (older and bool(there))
    if backups:
        assert planned[0].backup_id == "b0"
    assert {p.backup_id for p in planned[1:]} <= there
    for again in there:
        known = {"restore.test/s/cn-east/older": again}
        chosen = drill._of_pair("s", "cn-east", backups, run_id, known, older=True)
        assert chosen[1].backup_id == again
