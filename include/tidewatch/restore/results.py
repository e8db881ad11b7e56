"""The tables of restore tests: restore.tests. Every function works inside the caller's transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError, NotFound

Choice = Literal["latest", "older"]
Status = Literal["running", "passed", "failed", "error"]
_LIST_LIMIT = 100
_ALL = 100_000


@dataclass(frozen=True)
class Planned:
    """One test to make: restore this backup from this region."""

    source: str
    region: str
    choice: Choice
    backup_id: str

    @property
    def label(self) -> str:
        """For people: `ops from cn-east, latest`."""
        return f"{self.source} from {self.region}, {self.choice}"

    @property
    def finding(self) -> str:
        """Key of the finding that a failure opens, and that only a later success of the same closes."""
        return f"restore.test/{self.source}/{self.region}/{self.choice}"


@dataclass(frozen=True)
class Row:
    """One attempt, as restore.tests has it."""

    test_id: str
    dag_id: str
    run_id: str
    attempt: int
    source: str
    region: str
    backup_id: str
    choice: Choice
    status: Status
    started_at: datetime
    ended_at: datetime | None
    rto_seconds: float | None
    rpo_seconds: float | None
    rto_target: float | None
    rpo_target: float | None
    phases: Mapping[str, float]
    checks: list[Mapping[str, Any]]
    document: Mapping[str, Any] | None
    error: str | None

    @property
    def planned(self) -> Planned:
        return Planned(self.source, self.region, self.choice, self.backup_id)

    @property
    def problem(self) -> str | None:
        """Why it did not pass: the first difference, or the error."""
        for check in self.checks:
            if not check["ok"]:
                place = f" at {check['where']}" if check["where"] else ""
                return f"{check['name']}{place}: expected {check['expected']}, found {check['found']}"
        return self.error


def begin(
    conn: Connection,
    planned: Planned,
    *,
    test_id: str,
    dag_id: str,
    run_id: str,
    rto_target: float,
    rpo_target: float,
    now: datetime,
) -> int:
    """Enter a running test; the number of its attempt, from 1."""
    values = {
        "test_id": test_id,
        "dag_id": dag_id,
        "run_id": run_id,
        "rto_target": rto_target,
        "rpo_target": rpo_target,
        "now": now,
    }
    row = execute(conn, "restore/begin_test", values | vars(planned)).fetchone()
    assert row is not None  # noqa: S101 - an aggregate gives one row
    return int(row["attempt"])


def end(
    conn: Connection,
    test_id: str,
    status: Status,
    *,
    now: datetime,
    rto_seconds: float | None = None,
    rpo_seconds: float | None = None,
    phases: Mapping[str, float] | None = None,
    checks: list[dict[str, Any]] | None = None,
    document: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> bool:
    """Give a running test its end; False when it has one."""
    values = {
        "test_id": test_id,
        "status": status,
        "now": now,
        "rto_seconds": rto_seconds,
        "rpo_seconds": rpo_seconds,
        "phases": Jsonb(dict(phases or {})),
        "checks": Jsonb(checks or []),
        "document": None if document is None else Jsonb(dict(document)),
        "error": error,
    }
    return execute(conn, "restore/end_test", values).rowcount == 1


def require_own(conn: Connection, run_id: str, dag_id: str) -> None:
    """A run of the Dag is not gone on with by hand: its report says who started it, and who may not sign.
    Raises ConfigError."""
    other = next((r.dag_id for r in of_run(conn, run_id) if r.dag_id != dag_id), None)
    if other is not None:
        raise ConfigError(
            f"The run {run_id} belongs to {other}",
            expected="a run of your own, or a task of that run cleared in Airflow",
            found=f"one that goes on with it as {dag_id}",
            do="leave out --run, or choose an id that nobody has used",
        )


def running(conn: Connection) -> list[dict[str, Any]]:
    """Tests without an end, whether their process lives or not."""
    return execute(conn, "restore/running").fetchall()


def of_run(conn: Connection, run_id: str) -> list[Row]:
    """All attempts of one run, the oldest first."""
    return _rows(conn, run_id=run_id, n=_ALL)[::-1]


def recent(conn: Connection, *, source: str | None = None, n: int = _LIST_LIMIT) -> list[Row]:
    """The newest attempts."""
    return _rows(conn, source=source, n=n)


def get(conn: Connection, test_id: str) -> Row:
    """Raises NotFound."""
    rows = _rows(conn, test_id=test_id, n=1)
    if not rows:
        raise NotFound(
            f"There is no restore test {test_id}",
            expected="the id of a test, such as rt-20261201T030000Z-0123abcd",
            found="no such row in restore.tests",
            do="copy the id from `tidewatch restores list`",
        )
    return rows[0]


def _rows(
    conn: Connection,
    *,
    run_id: str | None = None,
    source: str | None = None,
    test_id: str | None = None,
    n: int,
) -> list[Row]:
    filters = {"run_id": run_id, "source": source, "test_id": test_id, "n": n}
    return [Row(**row) for row in execute(conn, "restore/tests", filters)]
