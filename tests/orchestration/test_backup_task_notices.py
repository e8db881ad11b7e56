"""What the backup tasks tell people about when a run cannot begin, or has tried for the last time."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from tidewatch.core.database import connect
from tidewatch.core.errors import ConfigError, SourceUnreachable
from tidewatch.orchestration import backup_tasks


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, warehouse: str) -> dict[str, Any]:
    """The warehouse as a connection, an empty configuration, and the context of a task's first try."""
    fields = conninfo_to_dict(warehouse)
    connection = {
        "conn_type": "postgres",
        "host": fields["host"],
        "port": int(str(fields["port"])),
        "login": fields["user"],
        "password": fields["password"],
        "schema": fields["dbname"],
    }
    monkeypatch.setenv("AIRFLOW_CONN_TIDEWATCH_WAREHOUSE", json.dumps(connection))
    monkeypatch.setenv("TIDEWATCH_CONFIG_DIR", str(tmp_path))
    context = {
        "dag": SimpleNamespace(dag_id="back_up_sources"),
        "run_id": "r1",
        "ti": SimpleNamespace(try_number=1, max_tries=3),
        "dag_run": SimpleNamespace(run_type="manual"),
    }
    monkeypatch.setattr(backup_tasks, "get_current_context", lambda: context)
    return context


def _notices(warehouse: str) -> list[dict[str, Any]]:
    with connect(warehouse, application_name="tests") as conn:
        return conn.execute("select fact, severity, body_en from notices.outbox order by 1").fetchall()


@pytest.mark.usefixtures("task")
def test_a_run_that_cannot_be_planned_is_told_once(tmp_path: Path, warehouse: str) -> None:
    (tmp_path / "sources.yaml").write_text("sources: [\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"sources\.yaml"):
            backup_tasks.plan()
    (notice,) = _notices(warehouse)
    assert notice["fact"] == "backup.not_planned/r1" and notice["severity"] == "critical"
    assert "sources.yaml is not valid YAML" in notice["body_en"]


def test_a_source_that_failed_at_its_last_try_is_told_as_urgent(
    task: dict[str, Any], warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise SourceUnreachable("The database does not answer", expected="e", found="f", do="d")

    monkeypatch.setattr(backup_tasks.backup, "stage", unreachable)
    monkeypatch.setattr(backup_tasks, "_context", lambda: None)
    monkeypatch.setattr(backup_tasks.probing, "probe_what_is_unknown", lambda *_, **__: None)
    for try_number in (1, 3, 4):
        task["ti"].try_number = try_number
        with pytest.raises(SourceUnreachable):
            backup_tasks.stage("ops")
        assert len(_notices(warehouse)) == (try_number == 4)
    assert [n["fact"] for n in _notices(warehouse)] == ["backup.given_up/ops/r1"]
