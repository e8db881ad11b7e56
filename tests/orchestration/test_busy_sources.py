"""A lock that somebody else holds: what another run does is skipped, what only this run does never."""

from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowSkipException

from tidewatch.backup.lock import NotOurTurn, source_lock
from tidewatch.core.database import Connection, connect
from tidewatch.orchestration import backup_tasks
from tidewatch.orchestration.policy import RetryWhatCanPass
from tidewatch.vault import catalogue
from tidewatch.vault.manifest import RunRef

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)


@dataclass
class _Context:
    """As much of a BackupContext as a step looks at before it meets the lock."""

    dsn: str

    def connect(self) -> Connection:
        return connect(self.dsn, application_name="tests")

    def planned(self, source: str) -> str:
        return source

    recipients = signing_key = None


@pytest.fixture
def airflow_run(warehouse: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The run `today` of a Dag, in its first of four tries; the notices that it wrote."""
    told: list[Any] = []
    airflow = {
        "dag": SimpleNamespace(dag_id="back_up_sources"),
        "run_id": "today",
        "ti": SimpleNamespace(try_number=1, max_tries=3),
        "dag_run": SimpleNamespace(run_type="scheduled"),
    }
    monkeypatch.setattr(backup_tasks, "get_current_context", lambda: airflow)
    monkeypatch.setattr(backup_tasks, "_context", lambda: _Context(warehouse))
    monkeypatch.setattr(backup_tasks, "_announce", told.append)
    monkeypatch.setattr(backup_tasks.probing, "probe_what_is_unknown", lambda *_, **__: None)
    monkeypatch.setattr("tidewatch.backup.lock.PATIENCE_SECONDS", 0.0)
    told.append(airflow)
    return told


def _begin(dsn: str, run_id: str) -> None:
    with connect(dsn, application_name="tests") as conn:
        catalogue.begin(
            conn,
            backup_id="ops-20261122T020000Z-00000001",
            source="ops",
            source_type="postgres",
            data_class="internal",
            run=RunRef(dag_id="back_up_sources", run_id=run_id),
            now=NOW,
        )


def test_a_source_that_another_run_reads_is_left_to_it(warehouse: str, airflow_run: list[Any]) -> None:
    _begin(warehouse, "manual")
    context: Any = _Context(warehouse)
    with source_lock(context, "ops"), pytest.raises(AirflowSkipException, match="ops-20261122T020000Z"):
        backup_tasks.stage("ops")


@pytest.mark.parametrize("holder", ["today", None])
def test_a_lock_behind_which_nobody_makes_another_runs_backup_is_waited_for(
    warehouse: str, airflow_run: list[Any], holder: str | None
) -> None:
    if holder:  # an earlier try of this very run, whose end nobody has seen
        _begin(warehouse, holder)
    context: Any = _Context(warehouse)
    with source_lock(context, "ops"), pytest.raises(NotOurTurn) as caught:
        backup_tasks.stage("ops")
    assert RetryWhatCanPass().evaluate(caught.value, 1, 3).action is RetryAction.RETRY
    assert airflow_run[1:] == []


@pytest.mark.parametrize("step", [backup_tasks.gate, backup_tasks.publish])
def test_a_backup_that_is_read_already_is_never_left_unjudged_in_silence(
    warehouse: str, airflow_run: list[Any], step: Any
) -> None:
    _begin(warehouse, "manual")
    context: Any = _Context(warehouse)
    with source_lock(context, "ops"), pytest.raises(NotOurTurn):
        step("ops-20261122T010000Z-00000002")
    assert airflow_run[1:] == []
    airflow_run[0]["ti"].try_number = 4
    with source_lock(context, "ops"), pytest.raises(NotOurTurn):
        step("ops-20261122T010000Z-00000002")
    assert [notice.fact for notice in airflow_run[1:]] == ["backup.given_up/ops/today"]
