"""What a backup depends on, each with a counter that makes its n-th call fail: S3, SQL, programs, files.

A counting run says how many calls there are; `Plan(n)` makes one of them fail in the way of its mode. The
faults are real ones: a connection is cut on its socket, a statement fails in the server, a program is
killed.
"""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import psycopg
from unreliable import Answer, Trouble, UnreliableProxy, _Handler

from tidewatch.core.errors import TidewatchError
from tidewatch.core.regions import Region

S3_MODES: dict[str, Trouble | Answer] = {
    "cut before the store has it": "cut before",
    "the answer is lost": "lose the answer",
    "the answer breaks off": "cut midway",
    "500": Answer.error(500, "InternalError"),
    "503": Answer.error(503, "SlowDown"),
    "expired from here on": Answer.error(403, "ExpiredToken"),
    "down from here on": "cut before",
}
SQL_MODES = ("lost before", "lost after", "refused")
KILLS = ("killed before it", "killed after it")
"""The whole process dies, as by kill -9, before the call has any effect or before its answer is seen."""
CHILD_MODES = ("does not start", "is killed", "ends badly")
FILE_MODES = ("fails",)


@dataclass
class Plan:
    """Fail call number `n` (from 1; 0: none, only count), and all after it when `for_good`."""

    mode: str = ""
    n: int = 0
    for_good: bool = False
    seen: list[str] = field(default_factory=list)
    fired: int = 0
    on: bool = False
    victim: int = 0
    """The process that a kill is meant for, when it is not the one that counts."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, call: str) -> bool:
        """Count `call`; whether it is to fail."""
        with self._lock:
            if not self.on:
                return False
            self.seen.append(call)
            due = len(self.seen) == self.n or (self.for_good and 0 < self.n <= len(self.seen))
            self.fired += due
            return due

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Counts and fails inside only."""
        self.on = True
        try:
            yield self
        finally:
            self.on = False


def in_child(work: Callable[[], object], plan: Plan | None = None) -> int:
    """Run `work` in a process of its own; its exit status as os.waitpid gives it (0: it returned)."""
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.read(ready, 1)
            work()
        except TidewatchError:
            os._exit(3)
        except BaseException:  # noqa: BLE001 - a child must not run on into pytest
            os._exit(4)
        os._exit(0)
    if plan is not None:
        plan.victim = pid
    os.write(go, b".")
    os.close(ready)
    os.close(go)
    _, status = os.waitpid(pid, 0)
    return status


class _KillingHandler(_Handler):
    server: "CountingProxy"

    def _cut(self) -> None:
        if self.server.plan.mode in KILLS and self.server.plan.victim:
            os.kill(self.server.plan.victim, signal.SIGKILL)
        super()._cut()


class CountingProxy(UnreliableProxy):
    """Before one region; the requests that a plan picks meet its trouble."""

    def __init__(self, region: Region) -> None:
        self.plan = Plan()
        super().__init__(str(region.endpoint_url))
        self.RequestHandlerClass = _KillingHandler

    def trouble_for(self, request: str) -> Trouble | Answer | None:
        method, _, target = request.partition(" ")
        call = f"{method} {target.rsplit('/', 1)[-1].split('=')[0]}"
        troubles = S3_MODES | {KILLS[0]: "cut before", KILLS[1]: "lose the answer"}
        return troubles[self.plan.mode] if self.plan.due(call) else None

    def before(self, region: Region) -> Region:
        """`region` as it is reached through here; a failed request is a failed call."""
        return Region(region.config, replace(region.address, endpoint_url=self.url, attempts=1))


def _cut(conn: "psycopg.Connection[Any]") -> None:
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(conn.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)


_REFUSE = b"do $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$"


@contextlib.contextmanager
def failing_sql(dsn: str, plan: Plan) -> Iterator[None]:
    """Every exchange of our own sessions with this database counts: statements, commits, connecting."""
    database = str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]).encode()
    wait, connect = psycopg.Connection.wait, psycopg.Connection.connect.__func__

    def waiting(self: Any, generator: Any, *more: Any, **options: Any) -> Any:
        # Entering a pipeline sends nothing; it is no exchange that could be lost.
        local = "Pipeline._enter_gen" in generator.__qualname__
        if local or self.pgconn.db != database or not plan.due("statement"):
            return wait(self, generator, *more, **options)
        if plan.mode == KILLS[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        if plan.mode == "refused":
            generator.close()
            self.pgconn.exec_(_REFUSE)  # the transaction is as broken as the server makes it
            raise psycopg.errors.DiskFull("could not extend file: No space left on device")
        if plan.mode == "lost before":
            _cut(self)
            return wait(self, generator, *more, **options)
        wait(self, generator, *more, **options)
        if plan.mode == KILLS[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        _cut(self)
        raise psycopg.OperationalError("the connection was lost before the answer came")

    def connecting(cls: Any, conninfo: str = "", *more: Any, **options: Any) -> Any:
        named = psycopg.conninfo.conninfo_to_dict(conninfo, **{}).get("dbname")
        if str(named).encode() == database and plan.due("connect"):
            if plan.mode in KILLS:
                os.kill(os.getpid(), signal.SIGKILL)
            raise psycopg.OperationalError("connection refused")
        return connect(cls, conninfo, *more, **options)

    psycopg.Connection.wait = waiting  # type: ignore[method-assign]
    psycopg.Connection.connect = classmethod(connecting)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        psycopg.Connection.wait = wait  # type: ignore[method-assign]
        psycopg.Connection.connect = classmethod(connect)  # type: ignore[method-assign, assignment]


@contextlib.contextmanager
def failing_programs(plan: Plan) -> Iterator[None]:
    """Every program that is started counts."""
    real = subprocess.Popen

    class Popen(real):  # type: ignore[type-arg, misc, valid-type]
        _ends_badly = False

        def __init__(self, args: Any, *more: Any, **options: Any) -> None:
            due = plan.due(Path(str(args[0])).name)
            if due and plan.mode == "does not start":
                raise OSError(errno.ENOMEM, "Cannot allocate memory")
            super().__init__(args, *more, **options)
            if due and plan.mode == "is killed":
                self.send_signal(signal.SIGKILL)
            self._ends_badly = due and plan.mode == "ends badly"

        def wait(self, timeout: float | None = None) -> int:
            code = super().wait(timeout)
            if self._ends_badly:
                self.returncode = code = 1
            return code

    subprocess.Popen = Popen  # type: ignore[misc]
    try:
        yield
    finally:
        subprocess.Popen = real  # type: ignore[misc]


_files: tuple[str, Plan] | None = None
_hooked = False
_COUNTED = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.chmod"}


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _files is None or event not in _COUNTED:
        return
    home, plan = _files
    path = arguments[0]
    # A tree is walked with names below an open directory: those come as bytes, without the way to them.
    below = isinstance(path, bytes) or (isinstance(path, str) and path.startswith(home))
    if below and plan.due(f"{event} {Path(os.fsdecode(path)).name}"):
        raise OSError(errno.EIO, "Input/output error", os.fsdecode(path))


@contextlib.contextmanager
def failing_files(home: str, plan: Plan) -> Iterator[None]:
    """Every file and directory under `home` that is opened, made, listed, renamed or removed counts."""
    global _files, _hooked
    if not _hooked:
        sys.addaudithook(_audit)
        _hooked = True
    _files = (home, plan)
    try:
        yield
    finally:
        _files = None


Failing = Callable[[Plan], contextlib.AbstractContextManager[None]]
