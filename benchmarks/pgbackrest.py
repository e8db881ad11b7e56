"""The peer pgBackRest: a full backup of the whole server into three repositories, encrypted, zstd 3.

It copies the server's files (indexes included) instead of dumping rows, and takes one repository at a time.
The release at hand knows PostgreSQL up to 15, so it gets a server of its own of that version with the same
rows; and its repositories are directories in memory instead of S3 (which it speaks over TLS only): both
flatter it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from database import Shape, fill
from measure import Servers, Taken, run
from rig import HERE, Running

from tidewatch.core import pgbinaries, processes

MAJOR = 15
REPOSITORIES = (1, 2, 3)
BINARIES = HERE.parent / ".tidewatch-cache" / "postgres" / str(MAJOR) / "bin"


def missing() -> str | None:
    """How to get what is not there; None when all is."""
    if shutil.which("pgbackrest") is None:
        return "apt-get install pgbackrest"
    if not BINARIES.is_dir():
        return f"python3 tools/fetch_postgres.py {MAJOR}"
    return None


def version() -> str:
    return subprocess.run(
        ["pgbackrest", "version"], capture_output=True, text=True, check=True
    ).stdout.strip()


class PgBackRest:
    """A server with archiving, and its three repositories. Use `server()` around `measure`."""

    def __init__(self, place: Running) -> None:
        self._home = place.scratch / "pgbackrest"
        self._identity = pgbinaries.other_identity()
        self._binaries = pgbinaries.usable_binaries(BINARIES, self._identity)
        self._port = processes.free_port()
        self._home.mkdir()
        place.scratch.chmod(0o711)
        if self._identity is not None:
            os.chown(self._home, self._identity.uid, self._identity.gid)
        self._pid = 0

    @contextlib.contextmanager
    def server(self, shape: Shape) -> Iterator[None]:
        """The server, filled; its repositories ready for the first backup."""
        data, config = self._home / "data", self._home / "pgbackrest.conf"
        self._as_server(self._binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync",
                        "--encoding=UTF8", "--locale=C")  # fmt: skip
        config.write_text(self._configuration(data))
        options = {
            "port": self._port, "unix_socket_directories": self._home, "listen_addresses": "",
            "fsync": "off", "wal_level": "replica", "archive_mode": "on", "max_wal_size": "4GB",
            "archive_command": f"pgbackrest --config={config} --stanza=b archive-push %p",
        }  # fmt: skip
        command = [str(self._binaries / "postgres"), "-D", str(data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        as_whom = self._identity.popen() if self._identity else {}
        log = (self._home / "server.log").open("w")
        with log, subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **as_whom) as process:
            try:
                self._pid = process.pid
                processes.wait_for(
                    "PostgreSQL",
                    lambda: (data / "postmaster.pid").exists() and self._ready(),
                    seconds=60,
                    log=self._home / "server.log",
                    still=lambda: process.poll() is None,
                )
                # The stanza first: until it is there, the server keeps every segment it cannot archive.
                self._pgbackrest("stanza-create")
                fill(f"host={self._home} port={self._port} user=postgres dbname=postgres", shape)
                yield
            finally:
                process.send_signal(signal.SIGINT)
                process.wait()
        shutil.rmtree(self._home)

    def measure(self) -> dict[str, Taken]:
        """A full backup into each repository in turn; `first` is the first one alone."""
        total, first = Taken(), Taken()
        for number in REPOSITORIES:
            taken = self._pgbackrest("backup", "--type=full", f"--repo={number}")
            total.seconds += taken.seconds
            total.cpu += taken.cpu
            total.postgres_cpu += taken.postgres_cpu
            total.others_cores = max(total.others_cores, taken.others_cores)
            total.peak_bytes = max(total.peak_bytes, taken.peak_bytes)
            first = taken if number == REPOSITORIES[0] else first
        return {"one repository": first, "three repositories": total}

    def _ready(self) -> bool:
        return (self._home / f".s.PGSQL.{self._port}").exists()

    def _pgbackrest(self, *arguments: str) -> Taken:
        command = ["pgbackrest", f"--config={self._home / 'pgbackrest.conf'}", "--stanza=b", *arguments]
        return self._as_server(*command)

    def _as_server(self, *command: str | Path) -> Taken:
        user = self._identity
        prefix = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"] if user else []
        servers = Servers([self._pid]) if self._pid else None
        return run([*prefix, *command], servers=servers)

    def _configuration(self, data: Path) -> str:
        lines = ["[global]", "compress-type=zst", "compress-level=3", f"process-max={os.cpu_count() or 1}"]
        lines += ["start-fast=y", "log-level-file=off", "log-level-console=error", "archive-timeout=600"]
        lines += [f"lock-path={self._home}/lock", f"spool-path={self._home}/spool"]
        for number in REPOSITORIES:
            lines += [f"repo{number}-path={self._home}/repo{number}", f"repo{number}-retention-full=9"]
            lines += [f"repo{number}-cipher-type=aes-256-cbc", f"repo{number}-cipher-pass=benchmark"]
        lines += ["[b]", f"pg1-path={data}", f"pg1-port={self._port}", f"pg1-socket-path={self._home}"]
        return "\n".join([*lines, "pg1-user=postgres", ""])
