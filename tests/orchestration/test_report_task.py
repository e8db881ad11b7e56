"""What the task of report_compliance makes, of which month, and whom it tells."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from tidewatch.core.database import connect
from tidewatch.core.settings import load_settings
from tidewatch.orchestration import report_tasks


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, warehouse: str) -> dict[str, Any]:
    fields = conninfo_to_dict(warehouse)
    connection = {"conn_type": "postgres", "login": fields["user"], "schema": fields["dbname"]}
    connection |= {k: fields[k] for k in ("host", "password")} | {"port": int(str(fields["port"]))}
    shutil.copytree(load_settings().config_dir, tmp_path / "config")
    monkeypatch.setenv("AIRFLOW_CONN_TIDEWATCH_WAREHOUSE", json.dumps(connection))
    monkeypatch.setenv("TIDEWATCH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TIDEWATCH_HOME", str(tmp_path / "home"))
    context: dict[str, Any] = {
        "params": {"month": None},
        # 2 November 08:00 in Shanghai, as on a run of 2 December
        "data_interval_start": datetime(2025, 11, 2, tzinfo=UTC),
        "dag_run": SimpleNamespace(run_after=datetime(2025, 12, 2, tzinfo=UTC)),
    }
    monkeypatch.setattr(report_tasks, "get_current_context", lambda: context)
    return context


def test_the_scheduled_run_reports_on_the_month_before_and_tells_once(
    task: dict[str, Any], warehouse: str
) -> None:
    first, again = report_tasks.make_report(), report_tasks.make_report()
    assert (first["month"], first["version"], first["new"]) == ("2025-11", 1, True)
    assert first | {"new": False, "findings_opened": 0} == again
    assert (Path(first["directory"]) / "report.zh.pdf").read_bytes().startswith(b"%PDF")
    with connect(warehouse, application_name="tests") as conn:
        (notice,) = conn.execute("select fact, severity from notices.outbox").fetchall()
    assert notice == {"fact": "report.made/compliance/2025-11/v1", "severity": "warning"}


def test_a_person_may_ask_for_any_month(task: dict[str, Any]) -> None:
    task["params"]["month"] = "2025-02"
    assert report_tasks.make_report()["month"] == "2025-02"
