"""Airflow on one machine: api-server, scheduler (LocalExecutor) and dag-processor, each a daemon of its own.

Everything it needs is in its environment (no airflow.cfg): its database is the local PostgreSQL, its Dags and
plugins are the project's, its secrets are generated once. Nothing of it listens beyond 127.0.0.1.
"""

import hashlib
import importlib.metadata
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from cryptography.fernet import Fernet

from tidewatch.core import processes
from tidewatch.core.files import write_private
from tidewatch.core.processes import Daemon, StackError
from tidewatch.local import preload

LOGIN = "admin"
DAEMONS = ("api-server", "scheduler", "dag-processor")
_COMMANDS = {
    "api-server": ["api-server", "--host", "127.0.0.1", "--workers", "1"],
    # The api-server reads task logs from disk; the scheduler's own log server would listen on every address.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
}
_START_SECONDS = 180.0
_MIGRATE_SECONDS = 600.0


class LocalAirflow:
    """The three daemons with their home directory. Safe to construct while they run."""

    def __init__(self, home: Path, project: Path) -> None:
        self.home = home.resolve()
        self.project = project.resolve()
        self.logs = self.home / "daemons"
        self._state_file = self.home / "daemons.json"
        state = self._read_state()
        self.port: int | None = state.get("port")
        self.daemons = {name: Daemon.from_json(data) for name, data in state.get("daemons", {}).items()}
        self._environment_digest: str = state.get("environment", "")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        """Of the user `admin`; made at first use."""
        return str(json.loads(self.password_file.read_text(encoding="utf-8"))[LOGIN])

    @property
    def password_file(self) -> Path:
        return self.home / "passwords.json"

    def choose_port(self) -> None:
        """The previous port while our api-server has it or nobody does; else another."""
        if not self.running("api-server"):
            self.port = processes.free_port(self.port or 8080)

    def settings(self, metadata_url: str) -> dict[str, str]:
        """The AIRFLOW__* variables. `metadata_url`: SQLAlchemy URL of its database, with password."""
        keys = self._secrets()
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.project / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.project / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__FERNET_KEY": keys["fernet_key"],
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{LOGIN}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.password_file),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_url,
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__SECRET_KEY": keys["secret_key"],
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt_secret"],
            "AIRFLOW__DAG_PROCESSOR__DAG_VERSION_INFLATION_CHECK_LEVEL": "error",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "20",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "20",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            # A task killed together with its scheduler is noticed after a minute instead of five: the next
            # demonstration waits for its run to be over.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        }

    # -- life ------------------------------------------------------------------------------------------------

    def running(self, name: str) -> bool:
        return name in self.daemons and processes.alive(self.daemons[name])

    def begin_migration(
        self, environment: Mapping[str, str], cluster: str
    ) -> "subprocess.Popen[bytes] | None":
        """Start bringing the metadata database to this version's shape; None when it already has it.

        `cluster` identifies the database server, so that a new one is migrated too.
        """
        if self._migrated_mark(cluster) == self._read_mark():
            return None
        processes.stop_strays(self.home)  # a migration that an interrupted start left at work
        self.logs.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.logs / "migrate.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                env={**environment, processes.MARK: str(self.home), "SPT_NOENV": "1"},
            )
        finally:
            os.close(descriptor)

    def finish_migration(self, migration: "subprocess.Popen[bytes] | None", cluster: str) -> None:
        """Wait for it. Raises StackError with the end of its log."""
        if migration is None:
            return
        try:
            code = migration.wait(_MIGRATE_SECONDS)
        except subprocess.TimeoutExpired:
            migration.kill()
            code = -9
        if code != 0:
            log = self.logs / "migrate.log"
            raise StackError(
                "Airflow's metadata database could not be migrated",
                expected="`airflow db migrate` to end with code 0",
                found=f"code {code}; the last lines of {log}:\n{processes.tail(log)}\n",
                do=f"read {log}, then start again",
            )
        write_private(self.home / "migrated", self._migrated_mark(cluster))

    def start(self, environment: Mapping[str, str]) -> None:
        """Start what does not run. When the environment changed (another port, say), restart everything."""
        digest = _digest(environment)
        if digest != self._environment_digest:
            self.stop()
        elif not any(self.running(name) for name in DAEMONS):
            processes.stop_strays(self.home)  # task processes of a scheduler that was killed
        self._environment_digest = digest
        self._write_local_settings()
        for name in DAEMONS:
            if not self.running(name):
                self._launch(name, environment)

    def wait(self) -> None:
        """Until the api-server answers and says that scheduler and dag-processor are alive."""
        for name in DAEMONS:
            daemon = self.daemons[name]
            processes.wait_for(
                f"Airflow's {name}",
                lambda name=name: self._healthy(name),  # type: ignore[misc]  # mypy cannot infer defaults
                seconds=_START_SECONDS,
                log=Path(daemon.log),
                still=lambda daemon=daemon: processes.alive(daemon),  # type: ignore[misc]
            )

    def lost_port(self) -> bool:
        """The api-server is gone and somebody else has its port: between choosing one and listening on it
        some seconds pass."""
        return not self.running("api-server") and processes.free_port(self.port) != self.port

    def stop(self) -> None:
        """End all three at once; running tasks end with the scheduler and are tried again later."""
        with ThreadPoolExecutor(len(DAEMONS)) as pool:
            list(pool.map(lambda daemon: processes.stop(daemon, grace_seconds=20.0), self.daemons.values()))
        processes.stop_strays(self.home)
        self.daemons = {}
        self._environment_digest = ""
        self._write_state()

    def kill(self, name: str) -> None:
        """`kill -9` one daemon, as a crash would; used to prove that recovery works."""
        if name in self.daemons:
            processes.kill(self.daemons[name])

    def health(self) -> dict[str, Any]:
        """What the api-server says about the parts; empty when it does not answer."""
        if self.port is None:
            return {}
        try:
            address = f"{self.url}/api/v2/monitor/health"
            answer = httpx.get(address, timeout=5.0, trust_env=False, verify=processes.NO_TLS)
            return dict(answer.json()) if answer.status_code == 200 else {}
        except (httpx.HTTPError, ValueError):
            return {}

    # -- inside ----------------------------------------------------------------------------------------------

    def _healthy(self, name: str) -> bool:
        if self.port is None or not processes.listens(self.daemons["api-server"], self.port):
            return False  # who answers there would be another Airflow
        part = {"api-server": "metadatabase", "dag-processor": "dag_processor"}.get(name, name)
        return bool(self.health().get(part, {}).get("status") == "healthy")

    def _launch(self, name: str, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "airflow", *_COMMANDS[name]]
        if name == "api-server":
            command += ["--port", str(self.port)]
        log = self.logs / f"{name}.log"
        self.daemons[name] = processes.spawn(name, command, log=log, part=self.home, env=environment)
        self._write_state()

    def _write_local_settings(self) -> None:
        """Airflow finds them beside its home."""
        directory = self.home / "config"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(directory / "airflow_local_settings.py", preload.SETTINGS)

    def _secrets(self) -> dict[str, str]:
        """Generated once; a new Fernet key would make stored connections unreadable."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.password_file.exists():
            write_private(self.password_file, json.dumps({LOGIN: secrets.token_urlsafe(12)}) + "\n")
        path = self.home / "secrets.json"
        if not path.exists():
            fresh = {
                "fernet_key": Fernet.generate_key().decode(),
                "jwt_secret": secrets.token_urlsafe(48),
                "secret_key": secrets.token_urlsafe(48),
            }
            write_private(path, json.dumps(fresh))
        return {str(k): str(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}

    def _migrated_mark(self, cluster: str) -> str:
        return f"apache-airflow-core {importlib.metadata.version('apache-airflow-core')} on {cluster}\n"

    def _read_mark(self) -> str:
        try:
            return (self.home / "migrated").read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _write_state(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        daemons = {name: daemon.to_json() for name, daemon in self.daemons.items()}
        state = {"port": self.port, "daemons": daemons, "environment": self._environment_digest}
        write_private(self._state_file, json.dumps(state, indent=1))


def _digest(environment: Mapping[str, str]) -> str:
    """Of what matters to Airflow; the rest of a shell's environment differs from call to call."""
    chosen = sorted((k, v) for k, v in environment.items() if k.startswith(("AIRFLOW", "TIDEWATCH_", "GX_")))
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()
