"""What the tasks of restore_backup do with the form: a dry run restores nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from tidewatch.core.errors import ConfigError
from tidewatch.orchestration import restore_tasks
from tidewatch.restore import run as restoring

FORM: dict[str, Any] = {
    "source": "ops",
    "to": "database:tidewatch_restore/restored_ops",
    "backup": "",
    "at": None,
    "region": "",
    "tables": ["ops.posts"],
    "paths": None,
    "confirm": None,
    "dry_run": True,
}


@pytest.fixture
def form(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    given = dict(FORM)
    airflow = {
        "params": given,
        "dag": SimpleNamespace(dag_id="restore_backup"),
        "run_id": "manual__1",
        "ti": SimpleNamespace(try_number=2),
        "dag_run": SimpleNamespace(triggering_user_name="li.wei"),
    }
    monkeypatch.setattr(restore_tasks, "get_current_context", lambda: airflow)
    monkeypatch.setattr(restore_tasks, "_context", lambda: "context")
    return given


def test_a_dry_run_restores_nothing(form: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "make_plan", lambda *_: pytest.fail("not even planned"))
    with pytest.raises(AirflowSkipException, match="A dry run"):
        restore_tasks.restore()


def test_the_form_is_what_is_asked_for(form: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def make_plan(ctx: Any, request: restoring.Request) -> Any:
        seen.append(request)
        return "plan"

    def restore(ctx: Any, plan: Any, *, run: Any) -> Any:
        assert (plan, run.dag_id, run.run_id, run.try_number) == ("plan", "restore_backup", "manual__1", 2)
        return restoring.Done("ops-1", "database:x/y", ("cn-east",), {"all": 1.0}, ("a remark",), 7)

    monkeypatch.setattr(restoring, "make_plan", make_plan)
    monkeypatch.setattr(restoring, "restore", restore)
    form.update(dry_run=False, at="2026-11-22T12:00:00+08:00", confirm="restored_ops")
    assert restore_tasks.restore()["ledger_seq"] == 7
    [request] = seen
    assert (request.backup_id, request.region, request.paths) == (None, None, ())
    assert (request.tables, request.confirm, request.by) == (("ops.posts",), "restored_ops", "li.wei")
    assert request.at.isoformat() == "2026-11-22T04:00:00+00:00"
    form["at"] = "2026-11-22T12:00:00"
    with pytest.raises(ConfigError, match="not a point in time"):
        restore_tasks.restore()


def test_the_form_is_dry_unless_told_otherwise_and_explains_itself() -> None:
    from airflow.dag_processing.dagbag import DagBag

    project = Path(__file__).parents[2]
    dag = DagBag(str(project / "dags" / "restore" / "restore_backup.py")).dags["restore_backup"]
    assert dag.params.get_param("dry_run").value is True
    assert set(dag.params) == set(FORM)
    for name in FORM:
        param = dag.params.get_param(name)
        assert param.description and param.schema["type"], name
