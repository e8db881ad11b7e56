"""One demonstration for all end-to-end tests: the real stack, started as `make demo` starts it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import tenacity

from tidewatch.core import processes
from tidewatch.core.database import Connection, connect
from tidewatch.core.settings import Settings
from tidewatch.local import databases
from tidewatch.local.airflow import LOGIN
from tidewatch.local.rest import FINISHED, AirflowApi, TaskState
from tidewatch.local.stack import Stack

PROJECT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 600.0


@dataclass
class Run:
    """A finished Dag run."""

    dag_id: str
    run_id: str
    state: str
    tasks: list[TaskState] = field(default_factory=list)

    def of(self, task: str, what: str) -> TaskState:
        """The task instance that worked on `what`, e.g. `of("gate", "ops")`."""
        return next(t for t in self.tasks if t.task_id.endswith(task) and t.what == what)


@dataclass
class Demo:
    """A running stack, and what `make demo` printed when it made it."""

    home: Path
    first: subprocess.CompletedProcess[str]

    @property
    def stack(self) -> Stack:
        return Stack(Settings(home=self.home))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m <arguments>` as somebody would type it beside the stack."""
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TIDEWATCH_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}

    def api(self) -> "contextlib.closing[AirflowApi]":
        airflow = self.stack.airflow
        return contextlib.closing(AirflowApi(airflow.url, LOGIN, airflow.password))

    def run(
        self, dag_id: str, meanwhile: Callable[[], None] = lambda: None, conf: dict[str, Any] | None = None
    ) -> Run:
        """Trigger the Dag, do `meanwhile`, and wait for the scheduler to finish the run."""
        run_id = self.start(dag_id, conf)
        meanwhile()
        return self.finished(dag_id, run_id)

    def start(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Trigger the Dag; the run's id."""
        with self.api() as api:
            api.unpause(dag_id)  # the run of a paused Dag would stay queued
            return api.trigger(dag_id, conf)

    def finished(self, dag_id: str, run_id: str) -> Run:
        """The run, once the scheduler has ended it."""
        with self.api() as api:
            wait_for(lambda: api.run_state(dag_id, run_id) in FINISHED, f"{dag_id} to finish")
            return Run(dag_id, run_id, api.run_state(dag_id, run_id), api.tasks(dag_id, run_id))

    def answered(self, dag_id: str, run_id: str, task_id: str, option: str, note: str) -> dict[str, Any]:
        """Wait for the question of a task, choose the option that ends so, as often as it is asked; the
        question.

        The scheduler may take an answer within its own second for one to a task that has ended, and ask again
        (apache/airflow issue 72716).
        """
        asked = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        questions: list[dict[str, Any]] = []

        def ended() -> bool:
            states = {t.task_id: t.state for t in api.tasks(dag_id, run_id)}
            if states.get(task_id) == "awaiting_input":
                question = api._call("GET", asked)
                if not question["response_received"]:
                    (chosen,) = [o for o in question["options"] if o.endswith(option)]
                    answer = {"chosen_options": [chosen], "params_input": {"note": note}}
                    api._call("PATCH", asked, json=answer)
                    questions.append(question)
            return states.get(task_id) in FINISHED or api.run_state(dag_id, run_id) in FINISHED

        with self.api() as api:
            wait_for(ended, f"the answer to {dag_id} to be taken")
        assert questions, f"{dag_id} {run_id} asked nothing"
        return questions[-1]

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        wait_for(condition, what)

    def asset_events(self) -> list[dict[str, Any]]:
        """What Airflow tells Dags that follow an asset, oldest first."""
        with self.api() as api:
            found = api._call("GET", "/api/v2/assets/events", params={"limit": 200, "order_by": "timestamp"})
            return list(found["asset_events"])

    def warehouse(self) -> Connection:
        dsn = databases.dsn(self.stack.postgres, self.home, "tidewatch")
        return connect(dsn, application_name="tests")

    def ops(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(databases.dsn(self.stack.postgres, self.home, "ops"))


def wait_for(condition: Callable[[], bool], what: str, seconds: float = RUN_SECONDS) -> None:
    """Poll until `condition`; the deadline only ends a test that would hang."""
    try:
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_NotYet),
            wait=tenacity.wait_fixed(0.5),
            stop=tenacity.stop_after_delay(seconds),
        ):
            with attempt:
                if not condition():
                    raise _NotYet
    except tenacity.RetryError:
        pytest.fail(f"waited {seconds:.0f} s for {what}")


class _NotYet(Exception):
    pass


@pytest.fixture(scope="package")
def demo(stack_home: Path) -> Iterator[Demo]:
    """`make demo`'s command in a home of its own; ended, with a check that nothing is left."""
    home = stack_home / "demo"
    demo = Demo(home, subprocess.CompletedProcess([], -1))
    demo.first = demo.command("tidewatch.local", "demo")
    ports = _ports(demo.stack)
    yield demo
    down = demo.command("tidewatch.local", "down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert processes.strays(home) == [], "`make down` left processes behind"
    listening = {c.laddr.port for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert not ports & listening, "`make down` left a port behind"


def _ports(stack: Stack) -> set[int]:
    servers = [stack.postgres.port, stack.mail.port, stack.airflow.port, *(r.port for r in stack.regions())]
    return {port for port in servers if port}
