"""The parts of the stack that need no scheduler: roles, keys, lock, task logs, the result table."""

import json
import multiprocessing
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from pyrage import decrypt, encrypt, x25519
from rich.console import Console

from tidewatch.core import processes
from tidewatch.core.database import connect, migrate
from tidewatch.core.errors import ConfigError
from tidewatch.core.processes import StackError
from tidewatch.core.settings import Settings
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.local import databases, demo
from tidewatch.local.__main__ import main
from tidewatch.local.airflow import DAEMONS, LocalAirflow
from tidewatch.local.demo import _region_cell, require_alive
from tidewatch.local.keys import ensure_keys
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.rest import AirflowApi, TaskState
from tidewatch.local.stack import Stack, locked
from tidewatch.local.tasklog import last_error, log_file
from tidewatch.vault.catalogue import Copy

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalPostgres, Path]]:
    """A server of its own with the stack's roles, because roles belong to the whole server."""
    home = tmp_path_factory.mktemp("stack")
    server = LocalPostgres(home / "pg", fsync=False)
    server.start()
    databases.ensure(server, home)
    yield server, home
    server.destroy()


def backup_dsn(server: LocalPostgres, home: Path, database: str) -> str:
    fields = databases.connections(server, home)["tidewatch_source_ops"]
    return server.dsn(database, fields["login"], fields["password"])


def test_preparing_the_databases_twice_changes_nothing(prepared: tuple[LocalPostgres, Path]) -> None:
    server, home = prepared
    before = databases.connections(server, home)
    databases.ensure(server, home)
    assert databases.connections(server, home) == before
    for database in ("tidewatch", "airflow", "ops"):
        with psycopg.connect(databases.dsn(server, home, database)) as conn:
            conn.execute("CREATE TABLE IF NOT EXISTS owner_may_write (a int)")


def test_the_backup_role_reads_all_rows_and_large_objects_and_writes_nothing(
    prepared: tuple[LocalPostgres, Path],
) -> None:
    server, home = prepared
    with psycopg.connect(databases.dsn(server, home, "ops")) as conn:
        conn.execute("CREATE TABLE secret (owner text)")
        conn.execute("INSERT INTO secret VALUES ('a'), ('b')")
        conn.execute("ALTER TABLE secret ENABLE ROW LEVEL SECURITY")
        conn.execute("CREATE POLICY mine ON secret USING (owner = current_user)")
        row = conn.execute("SELECT lo_from_bytea(0, 'report'::bytea)").fetchone()
        assert row is not None
        number = row[0]
    with psycopg.connect(backup_dsn(server, home, "ops"), autocommit=True) as conn:
        assert conn.execute("SELECT count(*) FROM secret").fetchone() == (2,)
        assert conn.execute("SELECT lo_get(%s)", (number,)).fetchone() == (b"report",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("INSERT INTO secret VALUES ('c')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT lo_unlink(%s)", (number,))


def test_large_objects_of_another_owner_are_reached_after_the_grant(
    prepared: tuple[LocalPostgres, Path],
) -> None:
    server, home = prepared
    with psycopg.connect(server.dsn("ops")) as conn:
        row = conn.execute("SELECT lo_from_bytea(0, 'older'::bytea)").fetchone()
        assert row is not None
    databases.grant_large_objects(server)
    with psycopg.connect(backup_dsn(server, home, "ops")) as conn:
        assert conn.execute("SELECT lo_get(%s)", (row[0],)).fetchone() == (b"older",)


def test_the_backup_side_can_encrypt_and_only_the_offline_key_decrypts(tmp_path: Path) -> None:
    ensure_keys(tmp_path)
    lines = (tmp_path / "keys" / "recipients.txt").read_text().splitlines()
    [recipient] = [line for line in lines if not line.startswith("#")]
    secret = (tmp_path / "keys-offline" / "identity.txt").read_text().splitlines()[-1]
    sealed = encrypt(b"content", [x25519.Recipient.from_str(recipient)])
    assert decrypt(sealed, [x25519.Identity.from_str(secret)]) == b"content"
    for file in (tmp_path / "keys").iterdir():
        assert "AGE-SECRET-KEY" not in file.read_text()
    key = SigningKey.load(tmp_path / "keys" / "signing.pem")
    KeyRing.load(tmp_path / "keys" / "signing.pub.pem").verify(b"x", key.sign(b"x"))
    for private in ("keys/signing.pem", "keys-offline/identity.txt"):
        assert stat.S_IMODE((tmp_path / private).stat().st_mode) == 0o600


def test_keys_that_exist_are_never_replaced_and_lost_public_halves_are_made_again(tmp_path: Path) -> None:
    ensure_keys(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    (tmp_path / "keys" / "recipients.txt").unlink()
    (tmp_path / "keys" / "signing.pub.pem").unlink()
    ensure_keys(tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def _hold(home: Path, ready: Any, release: Any) -> None:
    with locked(home, lambda _: None):
        ready.set()
        release.wait(30)


def test_a_second_command_waits_for_the_first_and_says_for_whom(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(tmp_path, ready, release))
    first.start()
    assert ready.wait(30)
    holders: list[str] = []

    def waiting(holder: str) -> None:
        holders.append(holder)
        release.set()

    with locked(tmp_path, waiting):
        assert holders == [str(first.pid)]
    first.join()


def test_the_lock_of_a_killed_command_is_free(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(tmp_path, ready, release))
    first.start()
    assert ready.wait(30)
    first.kill()
    first.join()
    started = time.monotonic()
    with locked(tmp_path, lambda _: None):
        assert time.monotonic() - started < 5


def test_status_of_a_stack_that_was_never_started_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEWATCH_HOME", str(tmp_path / "none"))
    assert main(["status"]) == 1
    assert "does not run" in capsys.readouterr().out
    assert main(["down"]) == 0
    assert not (tmp_path / "none").exists(), "asking must not create anything"


def test_a_mistake_in_the_configuration_ends_up_with_code_1_and_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "regions.yaml").write_text("policy_id: T\nregionz: []\n", encoding="utf-8")
    monkeypatch.setenv("TIDEWATCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIDEWATCH_CONFIG_DIR", str(tmp_path / "config"))
    try:
        assert main(["up"]) == 1
        told = capsys.readouterr().out
        assert "regions.yaml" in told
        assert "regionz" in told
    finally:
        assert main(["down"]) == 0
    assert "no process and no port is left" in capsys.readouterr().out
    LocalPostgres(tmp_path / "home" / "pg").destroy()


def test_connections_of_the_user_are_left_to_the_user(tmp_path: Path) -> None:
    (tmp_path / "regions.yaml").write_text(
        "policy_id: T\npolicy_version: '1'\nresidency: {}\nregions:\n"
        "- {name: ours, connection: tidewatch_region_ours, bucket: bbb, jurisdiction: CN}\n"
        "- {name: theirs, connection: company_s3, bucket: bbb, jurisdiction: CN}\n",
        encoding="utf-8",
    )
    stack = Stack(Settings(home=tmp_path / "home", config_dir=tmp_path))
    assert [region.name for region in stack._local_region_configs()] == ["ours"]
    (tmp_path / "regions.yaml").unlink()
    with pytest.raises(ConfigError):
        stack._local_region_configs()


def test_airflow_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    project = Path(__file__).parents[2]
    first = LocalAirflow(tmp_path, project)
    first.port = 8080
    settings = first.settings("postgresql+psycopg2://u:p@127.0.0.1/airflow")
    again = LocalAirflow(tmp_path, project)
    again.port = 8080
    assert again.settings("postgresql+psycopg2://u:p@127.0.0.1/airflow") == settings
    assert again.password == first.password
    for file in ("secrets.json", "passwords.json"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600
    assert settings["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert settings["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"


def task_at(**overrides: Any) -> TaskState:
    fields = {"task_id": "back_up.stage", "what": None, "state": "failed", "map_index": 1, "try_number": 2}
    return TaskState(**(fields | {"seconds": None} | overrides))


def test_the_last_error_of_a_task_log_is_found_behind_other_lines(tmp_path: Path) -> None:
    path = log_file(tmp_path, "d", "r", task_at())
    assert path.relative_to(tmp_path).parts[-2:] == ("map_index=1", "attempt=2.log")
    path.parent.mkdir(parents=True)
    lines = [
        {"level": "info", "event": "begins"},
        {
            "level": "error",
            "event": "Task failed with exception",
            "error_detail": [
                {"exc_type": "SourcePermission", "exc_value": "No permission. What to do: grant."}
            ],
        },
        {"level": "info", "event": "finished"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "not json\n", encoding="utf-8")
    assert last_error(path) == "SourcePermission: No permission. What to do: grant."


def test_a_task_without_a_log_is_told_as_such(tmp_path: Path) -> None:
    assert "no log" in last_error(log_file(tmp_path, "d", "r", task_at(map_index=-1)))


def test_a_region_cell_is_green_only_when_every_object_is_verified() -> None:
    def copy(state: str) -> Copy:
        return Copy("b", "cn-east", "k", state, retain_until=NOW)  # type: ignore[arg-type]

    assert _region_cell([copy("verified"), copy("verified")]) == "✓ until 2026-11-22"
    assert _region_cell([copy("verified"), copy("failed")]) == "[red]1 of 2 verified[/]"
    assert _region_cell([]) == "[red]nothing[/]"
    console = Console(width=80)
    with console.capture() as captured:
        console.print(_region_cell([]))
    assert captured.get().strip() == "nothing"


def test_a_demonstration_does_not_wait_for_runs_when_the_scheduler_has_ended(tmp_path: Path) -> None:
    airflow = LocalAirflow(tmp_path / "airflow", tmp_path)
    for name in DAEMONS:
        log = airflow.logs / f"{name}.log"
        airflow.daemons[name] = processes.spawn(name, ["sleep", "60"], log=log, part=tmp_path)
    try:
        require_alive(airflow)
        airflow.kill("scheduler")
        with pytest.raises(StackError, match="scheduler has ended") as caught:
            require_alive(airflow)
        assert str(airflow.logs / "scheduler.log") in str(caught.value)
        assert "run the same command again" in str(caught.value)
    finally:
        processes.stop_strays(tmp_path)


class _FailedRuns:
    """Airflow's API at which every run has failed; after `close` it answers nothing, as a client does."""

    closed = False

    def __init__(self, *_: object) -> None:
        self.ids = ["earlier"]

    def __getattribute__(self, name: str) -> Any:
        if object.__getattribute__(self, "closed"):
            raise RuntimeError(f"{name} of a client that has been closed")
        return object.__getattribute__(self, name)

    def dag_ids(self) -> set[str]:
        return {"back_up_sources", "heal_copies", "probe_regions"}

    def run_ids(self, dag_id: str) -> list[str]:
        return self.ids

    def unpause(self, dag_id: str) -> bool:
        return False

    def trigger(self, dag_id: str) -> str:
        return "now"

    def run_state(self, dag_id: str, run_id: str) -> str:
        return "failed"

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        return [task_at(state="failed")]

    def returned(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        return []

    def close(self) -> None:
        self.closed = True


def test_a_demonstration_whose_runs_failed_ends_with_1_and_names_the_tasks(
    prepared: tuple[LocalPostgres, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, home = prepared
    with connect(databases.dsn(server, home, "tidewatch"), application_name="tests") as conn:
        migrate(conn, Settings().sql_dir / "migrations")
    monkeypatch.setenv("TIDEWATCH_HOME", str(home))
    monkeypatch.setattr(demo, "AirflowApi", _FailedRuns)
    monkeypatch.setattr(Stack, "begin", lambda *_: None)
    monkeypatch.setattr(Stack, "finish", lambda *_: None)
    monkeypatch.setattr(demo, "_seed", lambda *_: None)
    monkeypatch.setattr(demo, "require_alive", lambda *_: None)
    monkeypatch.setattr(LocalAirflow, "password", "unused")
    console = Console(record=True, width=200)
    assert demo.demonstrate(console, scale=1.0, minutes=1.0) == 1
    assert "failed" in console.export_text()


class _StandInApi:
    """Stands in for Airflow's API: a Dag that is unpaused, with runs in given states, newest first."""

    def __init__(self, states: list[str]) -> None:
        self.states = {f"run-{n}": state for n, state in enumerate(states)}
        self.triggered = 0

    def run_ids(self, dag_id: str) -> list[str]:
        return list(self.states)

    def unpause(self, dag_id: str) -> bool:
        return False

    def run_state(self, dag_id: str, run_id: str) -> str:
        return self.states[run_id]

    def trigger(self, dag_id: str) -> str:
        self.triggered += 1
        return "new"


@pytest.mark.parametrize(
    ("states", "taken", "triggered"),
    [
        ([], "new", 1),
        (["success", "failed"], "new", 1),
        (["running", "success"], "new", 1),
        (["queued", "queued", "running"], "run-1", 0),
    ],
)
def test_a_run_that_an_interrupted_demonstration_left_queued_is_taken_over(
    states: list[str], taken: str, triggered: int
) -> None:
    api = _StandInApi(states)
    assert demo._begin_run(cast(AirflowApi, api), "back_up_sources").run_id == taken
    assert api.triggered == triggered
