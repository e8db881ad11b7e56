"""Where somebody sits and types `tidewatch ...`: real servers, a real configuration, what came out."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import yaml
from backup_rig import UNUSED, Rig
from psycopg.conninfo import conninfo_to_dict

from tidewatch.cli import main
from tidewatch.core.regions import Region
from tidewatch.vault.layout import region_key

COMMAND = [sys.executable, "-m", "tidewatch.cli"]
WAREHOUSE = "AIRFLOW_CONN_TIDEWATCH_WAREHOUSE"


@dataclass(frozen=True)
class Said:
    """What a command left: exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout, which must be JSON and nothing else."""
        return json.loads(self.out)


class Desk:
    """`desk("backup", "list")` runs a command in this process, `desk.process(...)` in one of its own."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.rig, self.home = rig, rig.home
        self.backup_id = ""
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.variables: dict[str, str] = {
            "TIDEWATCH_HOME": str(rig.settings.home),
            "TIDEWATCH_CONFIG_DIR": str(self.home / "config"),
            "TIDEWATCH_SIGNING_KEY_FILE": str(rig.settings.signing_key_file),
            "TIDEWATCH_VERIFY_KEY_FILE": str(rig.settings.verify_key_file),
            "TIDEWATCH_RECIPIENTS_FILE": str(rig.settings.recipients_file),
            WAREHOUSE: postgres_connection(rig.warehouse),
            **{f"AIRFLOW_CONN_{r.config.connection.upper()}": _aws(r) for r in rig.regions},
        }
        self.set(**self.variables)
        self.configure()

    def set(self, **variables: str | None) -> None:
        """Set or (None) remove variables of the environment."""
        for name, value in variables.items():
            if value is None:
                self._monkeypatch.delenv(name, raising=False)
                self.variables.pop(name, None)
            else:
                self._monkeypatch.setenv(name, value)
                self.variables[name] = value

    def configure(self) -> None:
        """Write config/ as the rig is now."""
        (self.home / "config").mkdir(exist_ok=True)
        for name, content in {
            "regions.yaml": self.rig.regions_file.model_dump(),
            "sources.yaml": {"sources": [*self.rig.sources, UNUSED]},
        }.items():
            (self.home / "config" / name).write_text(yaml.safe_dump(content), encoding="utf-8")

    # -- running -------------------------------------------------------------------------------------------

    def __call__(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        code = main(list(arguments))
        shown = self._capsys.readouterr()
        return Said(code, shown.out, shown.err)

    def start(self, *arguments: str, stdout: Any = subprocess.PIPE, **more: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            # Buffered output, as in a shell: what is wrong with a pipe then shows at the end only.
            env={**os.environ, "PYTHONUNBUFFERED": "", **more},
            cwd=self.home,
        )

    def process(self, *arguments: str, **more: str) -> Said:
        """In a process of its own; `more` are further variables."""
        running = self.start(*arguments, **more)
        out, err = running.communicate(timeout=120)
        return Said(running.returncode, out, err)

    def interrupted_at_the_ledger(self, *arguments: str) -> Said:
        """Ctrl-C while the command waits for the ledger, which somebody else has locked."""
        with psycopg.connect(self.rig.warehouse) as holder:
            holder.execute("lock table evidence.ledger in access exclusive mode")
            running = self.start(*arguments)
            while not _waits(self.rig.warehouse):
                assert running.poll() is None, running.communicate()
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
            return Said(running.returncode, out, err)

    # -- doing what must not be done -------------------------------------------------------------------------

    def overwrite(self, region: Region, key: str, body: bytes) -> None:
        """Put a newer version under a relative key: the locked one stays, but is not what is seen."""
        full = region_key(region.config.prefix, key)
        region.store.client.put_object(Bucket=region.config.bucket, Key=full, Body=body)

    @property
    def object_key(self) -> str:
        """Relative key of the backup's first object."""
        return self.rig.get(self.backup_id).manifest.objects[0].key

    @property
    def manifest_key(self) -> str:
        return self.rig.get(self.backup_id).manifest.path.relative.manifest_key


def postgres_connection(dsn: str, **changes: Any) -> str:
    """A connection string as an Airflow connection in JSON."""
    fields = conninfo_to_dict(dsn)
    return json.dumps(
        {
            "conn_type": "postgres",
            "host": fields["host"],
            "port": int(str(fields["port"])),
            "login": fields["user"],
            "password": fields["password"],
            "schema": fields["dbname"],
            **changes,
        }
    )


def _aws(region: Region) -> str:
    address = region.address
    extra: Mapping[str, Any] = {"endpoint_url": address.endpoint_url, "region_name": address.region_name}
    return json.dumps(
        {"conn_type": "aws", "login": address.access_key, "password": address.secret_key, "extra": extra}
    )


def _waits(dsn: str) -> bool:
    """Whether a command waits for a lock; looks again after a moment if not."""
    with psycopg.connect(dsn) as conn:
        row = conn.execute(
            "select count(*) from pg_stat_activity, pg_sleep(0.05) where application_name = 'tidewatch cli' "
            "and datname = current_database() and wait_event_type = 'Lock'"
        ).fetchone()
    return row is not None and row[0] > 0
