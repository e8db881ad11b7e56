"""The few calls of Airflow's REST API that a demonstration needs, with a token of the local user."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tidewatch.core.processes import StackError

FINISHED = frozenset({"success", "failed"})


@dataclass(frozen=True)
class TaskState:
    """One task instance. `what` a mapped one works on is known to Airflow only when it has ended."""

    task_id: str
    what: str | None
    state: str
    map_index: int
    try_number: int
    seconds: float | None


class AirflowApi:
    """A client that logs in at first use and again when its token has run out."""

    def __init__(self, url: str, login: str, password: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30.0, trust_env=False)
        self._login = {"username": login, "password": password}

    def close(self) -> None:
        self._client.close()

    def dag_ids(self) -> set[str]:
        """Dags that the dag-processor has read."""
        return {dag["dag_id"] for dag in self._call("GET", "/api/v2/dags", params={"limit": 200})["dags"]}

    def import_errors(self) -> list[str]:
        """`file: last line of the traceback` of Dag files that do not parse."""
        found = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{e['filename']}: {str(e['stack_trace']).strip().splitlines()[-1]}" for e in found]

    def unpause(self, dag_id: str) -> bool:
        """True when it was paused before."""
        was_paused = bool(self._call("GET", f"/api/v2/dags/{dag_id}")["is_paused"])
        if was_paused:
            self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})
        return was_paused

    def run_ids(self, dag_id: str) -> list[str]:
        """Runs of the Dag, the newest first (at most 50)."""
        params = {"limit": 50, "order_by": "-run_after"}
        runs = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=params)["dag_runs"]
        return [run["dag_run_id"] for run in runs]

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run now, with `conf` as its form; returns its id."""
        body = {"logical_date": None, "note": "make demo", "conf": dict(conf or {})}
        return str(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """The task instances of a run."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found = self._call("GET", path, params={"limit": 500})["task_instances"]
        return [_task(entry) for entry in found]

    def returned(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        """The list that a task returned."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return [str(item) for item in self._call("GET", path)["value"] or []]

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        for attempt in range(3):
            if "Authorization" not in self._client.headers:
                self._log_in()
            try:
                answer = self._client.request(method, path, **arguments)
            except httpx.TransportError as error:
                # A trigger is not repeated blindly: the first one may have arrived.
                if method == "POST" or attempt == 2:
                    raise _unanswered(method, path, type(error).__name__) from error
                time.sleep(1.0)
                continue
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                del self._client.headers["Authorization"]
                continue
            if answer.is_error:
                raise _unanswered(method, path, f"HTTP {answer.status_code}: {answer.text[:300]}")
            return dict(answer.json())
        raise _unanswered(method, path, "the login is refused")

    def _log_in(self) -> None:
        try:
            answer = self._client.post("/auth/token", json=self._login)
        except httpx.TransportError as error:
            raise _unanswered("POST", "/auth/token", type(error).__name__) from error
        if answer.is_error:
            raise _unanswered("POST", "/auth/token", f"HTTP {answer.status_code}")
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _task(entry: dict[str, Any]) -> TaskState:
    duration = entry.get("duration")
    return TaskState(
        task_id=str(entry["task_id"]),
        what=_what(entry),
        state=str(entry["state"] or "waiting"),
        map_index=int(entry["map_index"]),
        try_number=int(entry["try_number"]),
        seconds=float(duration) if duration is not None else None,
    )


def _what(entry: dict[str, Any]) -> str | None:
    """The rendered name of a mapped task; until there is one, Airflow repeats the index in its place."""
    rendered = entry.get("rendered_map_index")
    return None if rendered is None or rendered == str(entry["map_index"]) else str(rendered)


def _unanswered(method: str, path: str, found: str) -> StackError:
    return StackError(
        f"Airflow's API did not do {method} {path}",
        expected="an answer with a 2xx status",
        found=found,
        do="see `make status` and .tidewatch/airflow/daemons/api-server.log, then run the command again",
    )
