"""The whole local stack in `.tidewatch/`: PostgreSQL, one S3 server a region, mail catcher, keys, Airflow.

`up` starts only what is dead and recovers from any interruption; `down` leaves no process and no port behind.
Two of them at once wait for each other.
"""

import contextlib
import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tidewatch.core import processes
from tidewatch.core.config import read_yaml
from tidewatch.core.database import connect, migrate
from tidewatch.core.files import write_private
from tidewatch.core.processes import StackError
from tidewatch.core.regions import RegionConfig, RegionsFile
from tidewatch.core.settings import Settings
from tidewatch.local import databases
from tidewatch.local.airflow import DAEMONS, LocalAirflow
from tidewatch.local.keys import ensure_keys
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.s3 import LocalRegion
from tidewatch.local.smtp import LocalMail

OURS = "tidewatch_"
"""Connections whose id begins so are made here; any other id in the configuration is the user's own."""

Report = Callable[[str, str, float], None]
"""(what was done, detail, seconds)"""


@dataclass(frozen=True)
class PartStatus:
    """One line of `status`."""

    name: str
    runs: bool
    address: str
    pid: int | None
    log: Path


class Stack:
    """The parts below `settings.home`, running or not."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = settings.home.resolve()
        self.postgres = LocalPostgres(self.home / "pg")
        self.mail = LocalMail(self.home / "mail")
        self.airflow = LocalAirflow(self.home / "airflow", settings.project)
        self._migration: subprocess.Popen[bytes] | None = None

    # -- up --------------------------------------------------------------------------------------------------

    def begin(self, report: Report) -> None:
        """Everything that Airflow stands on; its own database is being migrated when this returns."""
        with _step(report, "keys", "signing pair and age recipient"):
            for name in ("data_docs", "gx", "media", "regions"):
                (self.home / name).mkdir(mode=0o700, exist_ok=True)  # copies of the data: for nobody else
            ensure_keys(self.home)
        with _step(report, "PostgreSQL", lambda: f"127.0.0.1:{self.postgres.port}"):
            if not self.postgres.running():
                # Airflow that outlived its database ends some time later; who starts now would count on it.
                self.airflow.stop()
            self.postgres.start()
            databases.ensure(self.postgres, self.home)
        self.airflow.choose_port()
        with _step(report, "regions", lambda: ", ".join(r.endpoint_url for r in self.regions())):
            self._start_regions()
        with _step(report, "mail", lambda: f"127.0.0.1:{self.mail.port}"):
            self.mail.start()
        self._write_environment()
        self._migration = self.airflow.begin_migration(self.environment(), databases.cluster(self.postgres))
        with _step(report, "warehouse", "schemas are current"):
            dsn = databases.dsn(self.postgres, self.home, "tidewatch")
            with connect(dsn, application_name="tidewatch local") as conn:
                migrate(conn, self.settings.sql_dir / "migrations")

    def finish(self, report: Report) -> None:
        """Airflow, up to the point where scheduler and dag-processor report themselves alive."""
        with _step(report, "Airflow's database", "schema is current"):
            self.airflow.finish_migration(self._migration, databases.cluster(self.postgres))
        with _step(report, "Airflow", lambda: self.airflow.url):
            self._start_airflow()
        self._write_summary()

    def _start_airflow(self) -> None:
        for tries_left in (2, 1, 0):
            self.airflow.start(self.environment())
            try:
                return self.airflow.wait()
            except StackError:
                if tries_left == 0 or not self.airflow.lost_port():
                    raise
                self.airflow.choose_port()
                self._write_environment()

    def _start_regions(self) -> None:
        wanted = self._local_region_configs()
        servers = [self._server(config) for config in wanted]
        with ThreadPoolExecutor(max(1, len(servers))) as pool:
            list(pool.map(lambda server: server.start(), servers))
        for config, server in zip(wanted, servers, strict=True):
            server.create_bucket(config.bucket)

    def _local_region_configs(self) -> list[RegionConfig]:
        file = read_yaml(self.settings.config_dir / "regions.yaml", RegionsFile)
        return [region for region in file.regions if region.connection.startswith(OURS)]

    def _server(self, config: RegionConfig) -> LocalRegion:
        return LocalRegion(config.name, self.home / "regions" / config.name)

    def regions(self) -> list[LocalRegion]:
        """Every region that was ever started here, also when the configuration has changed since."""
        return [
            LocalRegion(path.name, path)
            for path in sorted((self.home / "regions").glob("*"))
            if path.is_dir()
        ]

    # -- down ------------------------------------------------------------------------------------------------

    def down(self, report: Report) -> None:
        """Stop everything. Raises StackError naming what is still there."""
        ports = self._ports()
        with _step(report, "Airflow", "stopped"):
            self.airflow.stop()
        for region in self.regions():
            with _step(report, f"region {region.name}", "stopped"):
                region.stop()
        with _step(report, "mail", "stopped"):
            self.mail.stop()
        with _step(report, "PostgreSQL", "stopped"):
            self.postgres.stop()
        processes.stop_strays(self.home)
        left = [p.pid for p in processes.strays(self.home)]
        still_open = [port for port in ports if processes.port_open(port)]
        if left or still_open:
            raise StackError(
                "The stack is not wholly down",
                expected="no process and no port of it",
                found=f"processes {left}, ports {still_open}",
                do="look at them with `ps` and `ss -ltnp`; a port may belong to another program by now",
            )

    def _ports(self) -> list[int]:
        """Of the parts that run now: a port of a dead part may be somebody else's by now."""
        found = [region.port for region in self.regions() if region.running()]
        found += [self.mail.port] if self.mail.running() else []
        found += [self.postgres.port] if self.postgres.running() else []
        found += [self.airflow.port] if self.airflow.running("api-server") else []
        return [port for port in found if port is not None]

    # -- status ----------------------------------------------------------------------------------------------

    def status(self) -> list[PartStatus]:
        """One line a part, in the order of starting."""
        pg, mail = self.postgres, self.mail
        lines = [
            _line("PostgreSQL", pg.running() and pg.answers(), f"127.0.0.1:{pg.port}", pg.daemon, pg.log)
        ]
        for region in self.regions():
            lines.append(
                _line(
                    f"region {region.name}", region.answers(), region.endpoint_url, region.daemon, region.log
                )
            )
        if len(lines) == 1:
            lines.append(PartStatus("regions", False, "", None, self.home / "regions"))
        up = mail.running() and processes.port_open(mail.port or 0)
        lines.append(_line("mail", up, f"127.0.0.1:{mail.port}", mail.daemon, mail.log))
        for name in DAEMONS:
            address = self.airflow.url if name == "api-server" else ""
            log = self.airflow.logs / f"{name}.log"
            daemon = self.airflow.daemons.get(name)
            runs = self.airflow.running(name) and (name != "api-server" or bool(self.airflow.health()))
            lines.append(_line(f"Airflow {name}", runs, address, daemon, log))
        return lines

    # -- environment -----------------------------------------------------------------------------------------

    def exports(self) -> dict[str, str]:
        """What a process needs to work with the stack: connections, paths, Airflow's settings."""
        metadata = databases.url(self.postgres, self.home, "airflow")
        connections = databases.connections(self.postgres, self.home)
        for config in self._local_region_configs():
            server = self._server(config)
            extra = {"endpoint_url": server.endpoint_url, "region_name": "us-east-1"}
            connections[config.connection] = {
                "conn_type": "aws", "login": server.access_key, "password": server.secret_key, "extra": extra,
            }  # fmt: skip
        connections["tidewatch_mail"] = {"conn_type": "smtp", "host": "127.0.0.1", "port": self.mail.port}
        mailto = f"mailto://127.0.0.1:{self.mail.port}?from=tidewatch@localhost.localdomain&to=duty@localhost.localdomain"
        include = str(self.settings.project / "include")
        return {
            "TIDEWATCH_PROJECT": str(self.settings.project),
            "TIDEWATCH_HOME": str(self.home),
            "TIDEWATCH_CONFIG_DIR": str(self.settings.config_dir),
            "TIDEWATCH_SQL_DIR": str(self.settings.sql_dir),
            "TIDEWATCH_NOTICE_MAIL_URL": mailto,
            # One machine both backs up and restores here; in production only a machine that restores has it.
            "TIDEWATCH_IDENTITY_FILE": str(self.home / "keys-offline" / "identity.txt"),
            "GX_ANALYTICS_ENABLED": "false",
            "PYTHONPATH": _joined(include, "PYTHONPATH", os.pathsep),
            # Without these a proxy in the user's environment would be asked for our own parts.
            "NO_PROXY": _joined("127.0.0.1,localhost", "NO_PROXY", ","),
            "no_proxy": _joined("127.0.0.1,localhost", "no_proxy", ","),
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(fields)
                for conn_id, fields in connections.items()
            },
            **self.airflow.settings(metadata),
        }

    def environment(self) -> dict[str, str]:
        """This process's environment with the stack's on top, as its daemons get it."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {**os.environ, **self.exports(), "PATH": path}

    def _write_environment(self) -> None:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(self.exports().items())]
        head = "# `. .tidewatch/env` lets `tidewatch` and `airflow` work with the local stack. Secret.\n"
        programs = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n'
        write_private(self.home / "env", head + programs + "".join(lines))

    def _write_summary(self) -> None:
        parts = {
            line.name: {"address": line.address, "pid": line.pid, "log": str(line.log)}
            for line in self.status()
        }
        write_private(self.home / "stack.json", json.dumps({"version": 1, "parts": parts}, indent=1) + "\n")


def _joined(ours: str, variable: str, separator: str) -> str:
    """Ours first, then what the user's environment has beside it."""
    mine = ours.split(separator)
    theirs = [item for item in os.environ.get(variable, "").split(separator) if item and item not in mine]
    return separator.join(mine + theirs)


def _line(name: str, runs: bool, address: str, daemon: processes.Daemon | None, log: Path) -> PartStatus:
    return PartStatus(name, runs, address, daemon.pid if runs and daemon else None, log)


@contextlib.contextmanager
def _step(report: Report, what: str, detail: str | Callable[[], str]) -> Iterator[None]:
    started = time.monotonic()
    yield
    report(what, detail if isinstance(detail, str) else detail(), time.monotonic() - started)


@contextlib.contextmanager
def locked(home: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """One `up`, `down` or `demo` at a time; the system releases the lock when its holder dies."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        # Our own directory: PostgreSQL's user must be able to pass through, not to look around.
        home.chmod(0o711)
    with (home / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            waiting(file.read().strip())
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
