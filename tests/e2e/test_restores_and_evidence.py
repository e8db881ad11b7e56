"""Restores, their monthly test and sign-off, anchors, retention, the report, the console: as they run."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidewatch.evidence import ledger

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

REGIONS = {"cn-east", "cn-north", "cn-south"}
SOURCES = {"ops", "airflow_metadata", "tidewatch_warehouse", "media"}


def test_restores_are_proved_from_every_region_and_a_person_signs(demo: Any) -> None:
    """The run of the schedule, which nobody started: so the demonstration's only person may sign."""
    with demo.api() as api:
        api.unpause("test_restores")
        demo.wait_for(lambda: bool(api.run_ids("test_restores")), "the run of the last month")
        (run_id,) = api.run_ids("test_restores")
    question = demo.answered("test_restores", run_id, "sign_off", "Sign", "looked at it")
    assert "passed" in question["body"] and "NOT PASSED" not in question["body"], question["body"]
    run = demo.finished("test_restores", run_id)
    assert run.state == "success", [(t.task_id, t.what, t.state) for t in run.tasks]
    with demo.warehouse() as conn:
        tests = conn.execute("select * from restore.tests where run_id = %s", [run_id]).fetchall()
        signed = conn.execute("select * from restore.signoffs where run_id = %s", [run_id]).fetchone()
        (anchored,) = [
            r for r in ledger.records(conn, kind="ledger.anchored") if run_id in json.dumps(dict(r.body))
        ]
    latest = {(t["source"], t["region"]) for t in tests if t["choice"] == "latest"}
    assert latest == {(source, region) for source in SOURCES for region in REGIONS}
    assert {t["status"] for t in tests} == {"passed"}
    assert all(t["rto_seconds"] < t["rto_target"] for t in tests)
    assert signed and (signed["decision"], signed["via"]) == ("signed", "airflow")
    assert signed["note"] == "looked at it" and anchored.seq > signed["ledger_seq"]


def test_the_other_dags_of_evidence_and_restores_do_their_work(demo: Any) -> None:
    target = demo.home / "restored" / "media"
    wanted: dict[str, dict[str, Any]] = {
        "anchor_ledger": {},
        "expire_backups": {},
        "report_compliance": {},
        "restore_backup": {"source": "media", "to": f"directory:{target}", "dry_run": False},
    }
    runs = {dag_id: demo.start(dag_id, conf) for dag_id, conf in wanted.items()}
    for dag_id, run_id in runs.items():
        run = demo.finished(dag_id, run_id)
        assert run.state == "success", (dag_id, [(t.task_id, t.what, t.state) for t in run.tasks])
    for path in (demo.home / "media").rglob("*"):
        back = target / path.relative_to(demo.home / "media")
        assert back.exists() or path.is_symlink(), back
        assert not path.is_file() or back.read_bytes() == path.read_bytes()
    with demo.warehouse() as conn:
        kinds = {r.kind for r in ledger.records(conn)}
    assert {"ledger.anchored", "report.made", "restore.done"} <= kinds
    assert _made(demo.home / "reports", "*.pdf") and _made(demo.home / "reports", "*.html")


def _made(directory: Path, pattern: str) -> list[Path]:
    return [p for p in directory.rglob(pattern) if p.stat().st_size > 1000]


def test_the_console_lies_behind_the_login_of_airflow(demo: Any) -> None:
    address = f"{demo.stack.airflow.url}/tidewatch/"
    with httpx.Client(trust_env=False, timeout=60) as stranger:
        answer = stranger.get(address)
        assert answer.status_code in (302, 303, 307, 401, 403) and "ops" not in answer.text
    with demo.api() as api:
        api.dag_ids()  # signs in
        page = api._client.get("/tidewatch/", follow_redirects=True)
    assert page.status_code == 200
    for word in (*SOURCES, *REGIONS):
        assert word in page.text
