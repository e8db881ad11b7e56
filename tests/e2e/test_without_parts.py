"""The stack of the demonstration, when all its Dags have run: parts killed, up again, down."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tidewatch.core import processes
from tidewatch.core.settings import Settings
from tidewatch.local.airflow import DAEMONS
from tidewatch.local.stack import Stack

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Place:
    """A home directory and the command that works on it."""

    home: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tidewatch.local", *arguments]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "TIDEWATCH_HOME": str(self.home)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )

    def stack(self) -> Stack:
        return Stack(Settings(home=self.home, project=PROJECT))

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to it, found by its mark or (PostgreSQL) by its working directory."""
        data = str(self.stack().postgres.data)
        found = {p.pid: p for p in processes.strays(self.home)}
        for process in psutil.process_iter():
            try:
                if process.cwd() == data and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = process
            except psutil.Error:
                continue
        return list(found.values())


@pytest.fixture(scope="module")
def place(demo: Any) -> Place:
    """The demonstration's: a second stack beside it would cost a minute and show nothing more."""
    return Place(demo.home)


def pids(stack: Stack) -> dict[str, int | None]:
    return {line.name: line.pid for line in stack.status()}


def test_every_part_runs_and_nothing_listens_beyond_this_machine(place: Place) -> None:
    status = place.stack().status()
    assert [line.name for line in status if not line.runs] == []
    assert {f"Airflow {name}" for name in DAEMONS} <= {line.name for line in status}
    listening = set()
    for process in place.processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # workers come and go
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    listening.add((connection.laddr.ip, connection.laddr.port))
    assert {address for address, _ in listening} == {"127.0.0.1"}
    assert len(listening) == 6, f"PostgreSQL, three regions, mail, api-server; found {sorted(listening)}"


def test_a_second_up_restarts_nothing(place: Place) -> None:
    before = pids(place.stack())
    assert place.run("up").returncode == 0
    assert pids(place.stack()) == before


def test_what_was_killed_comes_back_and_the_rest_stays(place: Place) -> None:
    stack = place.stack()
    before = pids(stack)
    stack.postgres.kill()
    stack.airflow.kill("scheduler")
    stack.regions()[0].kill()
    assert place.run("status").returncode == 1
    done = place.run("up")
    assert done.returncode == 0, done.stdout + done.stderr
    after = pids(place.stack())
    assert None not in after.values()
    changed = {name for name in before if before[name] != after[name]}
    assert {"PostgreSQL", f"region {stack.regions()[0].name}"} <= changed
    # All of it: a scheduler that outlived its database ends later, when nobody looks any more.
    assert {f"Airflow {name}" for name in DAEMONS} <= changed
    assert "mail" not in changed
    assert place.run("status").returncode == 0


def test_a_port_that_another_program_takes_meanwhile_is_left_to_it(place: Place) -> None:
    stack = place.stack()
    before = stack.airflow.port
    assert before is not None
    stack.airflow.stop()
    with socket.create_server(("127.0.0.1", before)):
        stack._start_airflow()
        assert stack.airflow.port != before
        assert place.run("status").returncode == 0
    assert f":{stack.airflow.port}" in (place.home / "env").read_text()


def test_the_environment_file_lets_the_command_line_work_with_the_stack(place: Place) -> None:
    program = "from tidewatch.cli import main; main()"
    script = f". {place.home / 'env'} && {sys.executable} -c '{program}' backup list --json"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (place.home / "env").stat().st_mode & 0o777 == 0o600


def test_no_secret_of_the_stack_is_in_a_log(place: Place) -> None:
    stack = place.stack()
    secrets = [stack.postgres.password, stack.airflow.password]
    secrets += [region.secret_key for region in stack.regions()]
    secrets += [fields for fields in stack.exports().values() if fields.startswith("postgresql+")]
    logs = [p for p in place.home.rglob("*.log") if p.is_file()]
    assert logs
    for log in logs:
        text = log.read_text(encoding="utf-8", errors="replace")
        assert not [1 for secret in secrets if secret in text], f"a secret is in {log}"


def test_down_leaves_no_process_and_no_port_and_may_be_said_twice(place: Place) -> None:
    stack = place.stack()
    ports = [int(line.address.rsplit(":", 1)[1]) for line in stack.status() if line.address]
    done = place.run("down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.processes() == []
    assert [port for port in ports if processes.port_open(port)] == []
    assert place.run("down").returncode == 0
    assert place.run("status").returncode == 1


def test_down_also_clears_up_after_an_up_that_was_killed_half_way(tmp_path: Path) -> None:
    place = Place(tmp_path / "home")
    log = tmp_path / "up.out"
    with log.open("w") as file:
        up = subprocess.Popen(place.command("up"), env=place.environment(), cwd=PROJECT, stdout=file)
    deadline = time.monotonic() + 120
    while "regions" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    up.send_signal(signal.SIGKILL)
    up.wait()
    assert place.processes(), "it was killed before anything ran; the test shows nothing"
    done = place.run("down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.processes() == []
    place.stack().postgres.destroy()
