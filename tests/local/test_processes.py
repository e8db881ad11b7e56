"""Daemons are found again, stopped with their family, and never confused with somebody else's process."""

import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tidewatch.core import processes
from tidewatch.core.processes import Daemon, StackError

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
FORKS = [
    sys.executable,
    "-c",
    (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(p.pid, flush=True); time.sleep(600)"
    ),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "daemon.log"


def child_of(log: Path, daemon: Daemon) -> int:
    return int(processes.wait_for("the child", lambda: processes.tail(log).strip(), seconds=20, log=log))


def test_a_stopped_daemon_leaves_no_child_behind(log: Path) -> None:
    daemon = processes.spawn("parent", FORKS, log=log)
    child = child_of(log, daemon)
    processes.stop(daemon)
    assert not processes.alive(daemon)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_children_of_a_killed_daemon_are_still_found(log: Path) -> None:
    daemon = processes.spawn("parent", FORKS, log=log)
    child = child_of(log, daemon)
    processes.kill(daemon)
    assert not processes.alive(daemon)
    assert [p.pid for p in processes.family(daemon)] == [child]
    processes.stop(daemon)
    assert processes.family(daemon) == []


def test_a_process_id_that_was_given_to_somebody_else_is_left_alone(log: Path) -> None:
    daemon = processes.spawn("other", SLEEP, log=log)
    stale = replace(daemon, created=daemon.created - 3600)
    assert not processes.alive(stale)
    processes.stop(stale)
    processes.kill(stale)
    assert processes.alive(daemon)
    processes.stop(daemon)


def test_a_daemon_that_ignores_the_polite_signal_is_ended_all_the_same(log: Path) -> None:
    stubborn = [
        sys.executable,
        "-c",
        (
            "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
            "time.sleep(600)"
        ),
    ]
    daemon = processes.spawn("stubborn", stubborn, log=log)
    processes.wait_for("it", lambda: processes.tail(log), seconds=20, log=log)
    assert processes.stop(daemon, grace_seconds=0.2) == 1
    assert not processes.alive(daemon)


def test_a_daemon_that_ends_at_once_is_reported_with_its_last_words(log: Path) -> None:
    daemon = processes.spawn(
        "short", [sys.executable, "-c", "print('no disk left'); raise SystemExit(3)"], log=log
    )
    started = time.monotonic()
    with pytest.raises(StackError, match="no disk left") as caught:
        processes.wait_for("short", lambda: None, seconds=60, log=log, still=lambda: processes.alive(daemon))
    assert time.monotonic() - started < 30, "it does not wait for the deadline when the process is gone"
    assert "the process ended" in caught.value.found


def test_a_taken_port_is_replaced_by_another(log: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert processes.free_port(port) != port
    assert processes.free_port(port) == port


def test_logs_of_daemons_are_readable_by_their_owner_only(log: Path) -> None:
    processes.stop(processes.spawn("quiet", SLEEP, log=log))
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_stray_is_found_by_its_part_and_nothing_else_is_touched(log: Path, tmp_path: Path) -> None:
    stray = processes.spawn("stray", FORKS, log=log, part=tmp_path / "a" / "pg")
    child = child_of(log, stray)
    other = processes.spawn("other", SLEEP, log=log, part=tmp_path / "ab")
    unmarked = processes.spawn("unmarked", SLEEP, log=log)
    assert {p.pid for p in processes.strays(tmp_path / "a")} == {stray.pid, child}
    processes.stop_strays(tmp_path / "a")
    assert processes.strays(tmp_path / "a") == []
    assert processes.alive(other)
    assert processes.alive(unmarked)
    processes.stop(other)
    processes.stop(unmarked)
