"""Daemons of the local stack: started detached, found again later, stopped with everything they started.

A process is known by its id *and* its creation time, so an id that the system gave to somebody else is never
signalled. Every daemon leads a session of its own: what it forks stays in that session even after the daemon
itself was killed, and is found there.
"""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tidewatch.core.errors import TidewatchError

T = TypeVar("T")

MARK = "TIDEWATCH_LOCAL_PART"
"""Environment variable of every daemon and its children: the home directory of the part it belongs to."""

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain http on this machine: reading the system's authorities takes longer than asking."""

_SAME_PROCESS_SECONDS = 1.0
"""Creation times are read from the boot clock; they wobble by less than this."""


class StackError(TidewatchError):
    """A part of the local stack did not start, answer or stop."""


@dataclass(frozen=True)
class Identity:
    """Another user that a process is to run as; only root can give one."""

    uid: int
    gid: int

    def popen(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass(frozen=True)
class Daemon:
    """A started process. `created` is its creation time in seconds since the epoch."""

    name: str
    pid: int
    created: float
    log: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Daemon":
        return cls(str(data["name"]), int(data["pid"]), float(data["created"]), str(data["log"]))


def spawn(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    part: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    identity: "Identity | None" = None,
) -> Daemon:
    """Start `command` in a session of its own, output appended to `log` (readable by the owner only).

    `part` marks the process and its children, so that `strays` finds them.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ if env is None else env)
    if part is not None:
        # SPT_NOENV: programs that change their title must not overwrite the environment we look into.
        environment |= {MARK: str(part), "SPT_NOENV": "1"}
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            cwd=cwd,
            **(identity.popen() if identity else {}),
        )
    except OSError as error:
        raise StackError(
            f"{name} could not be started",
            expected=f"an executable {command[0]}",
            found=str(error),
            do="run `make venv`; it installs what is missing",
        ) from error
    finally:
        os.close(descriptor)
    # The handle is dropped on purpose (the daemon outlives us). Telling Popen that it is over keeps it from
    # warning about a child that still runs; `alive` and `stop` reap the child if we are still its parent.
    process.returncode = 0
    return Daemon(name, process.pid, _creation_time(process.pid), str(log))


def _creation_time(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return time.time()  # gone before we could look: nothing alive will ever match


def _process(daemon: Daemon) -> psutil.Process | None:
    """The running process behind the record; None when it ended or its id now belongs to somebody else."""
    _reap(daemon.pid)
    try:
        process = psutil.Process(daemon.pid)
        if abs(process.create_time() - daemon.created) > _SAME_PROCESS_SECONDS:
            return None
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)


def alive(daemon: Daemon) -> bool:
    """True while exactly this process runs."""
    return _process(daemon) is not None


def family(daemon: Daemon) -> list[psutil.Process]:
    """The daemon and all that it started: its descendants and the members of its session."""
    leader = _process(daemon)
    found: dict[int, psutil.Process] = {}
    if leader is not None:
        found[leader.pid] = leader
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update({child.pid: child for child in leader.children(recursive=True)})
    elif psutil.pid_exists(daemon.pid):
        return []  # the id belongs to somebody else now, so the session of that number does too
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if (
                os.getsid(process.pid) == daemon.pid
                and process.create_time() >= daemon.created - _SAME_PROCESS_SECONDS
            ):
                found.setdefault(process.pid, process)
    return [p for p in found.values() if _running(p)]


def _running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop(daemon: Daemon, *, grace_seconds: float = 10.0, first: int = signal.SIGTERM) -> int:
    """Send `first` to the daemon, then end whatever it left behind. Returns how many had to be killed hard.

    Raises StackError when something is still alive after that.
    """
    members = family(daemon)
    leader = _process(daemon)
    if leader is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            leader.send_signal(first)
        _wait_gone([leader], grace_seconds)
    members = _merge(members, family(daemon))
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    left = _wait_gone(members, min(grace_seconds, 3.0))
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    stubborn = _wait_gone(_merge(left, family(daemon)), 5.0)
    if stubborn:
        raise StackError(
            f"{daemon.name} does not stop",
            expected="no process of it after a hard kill",
            found=f"processes {', '.join(str(p.pid) for p in stubborn)}",
            do=f"end them by hand: `kill -9 {' '.join(str(p.pid) for p in stubborn)}`",
        )
    return len(left)


def listens(daemon: Daemon, port: int) -> bool:
    """True when the daemon, or what it started, is who listens on `port`."""
    for process in family(daemon):
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False


def strays(part: Path) -> list[psutil.Process]:
    """Processes started for `part` or for anything below it, whoever recorded them or failed to."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(MARK)
            if mark and (Path(mark) == part or part in Path(mark).parents) and _running(process):
                found.append(process)
    return found


def stop_strays(part: Path) -> int:
    """End what an interrupted start did not record, or a killed daemon left behind. Returns how many."""
    found = strays(part)
    for process in found:
        stop(Daemon("stray", process.pid, process.create_time(), ""))
    return len(found)


def kill(daemon: Daemon) -> None:
    """End only the daemon itself, at once, as a crash would; used to prove that recovery works."""
    process = _process(daemon)
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        _wait_gone([process], 5.0)


def _merge(*groups: Iterable[psutil.Process]) -> list[psutil.Process]:
    return list({p.pid: p for group in groups for p in group}.values())


def _wait_gone(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after `seconds`. A zombie is gone: who has to bury it is not our business."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        left = [p for p in processes if _running(p)]
        if not left or time.monotonic() >= deadline:
            return left
        for process in left:
            _reap(process.pid)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def free_port(preferred: int | None = None) -> int:
    """A TCP port free on 127.0.0.1: the preferred one if it is, else one that the system picks."""
    for candidate in ([preferred] if preferred else []) + [0]:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackError(
        "No TCP port is free on 127.0.0.1",
        expected="one free port",
        found="none",
        do="end programs that hold many connections, then try again",
    )


def port_open(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for error texts; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def wait_for(
    what: str,
    check: Callable[[], T | None],
    *,
    seconds: float,
    log: Path,
    still: Callable[[], bool] = lambda: True,
) -> T:
    """The first true value of `check`, asked again with growing pauses.

    Raises StackError with the end of `log` when `seconds` have passed or `still()` says the process is gone.
    """
    deadline = time.monotonic() + seconds
    pause = 0.02
    while True:
        running = still()  # asked before the check: a process that answered and then ended still answered
        value = check()
        if value:
            return value
        if not running or time.monotonic() >= deadline:
            reason = f"no answer within {seconds:.0f} s" if running else "the process ended"
            raise StackError(
                f"{what} did not come up",
                expected=f"an answer within {seconds:.0f} s",
                found=f"{reason}; the last lines of {log}:\n{tail(log) or '(empty)'}\n",
                do=f"read {log}, then start again",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
