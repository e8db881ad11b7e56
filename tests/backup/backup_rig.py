"""Everything a backup needs, real, in one object: warehouse, three regions, keys, sources."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tidewatch.backup.context import BackupContext, Tuning
from tidewatch.backup.run import Outcome, RunRef, commit, judge, stage
from tidewatch.core.connections import Connection
from tidewatch.core.database import connect
from tidewatch.core.regions import Region, RegionsFile
from tidewatch.core.settings import Settings
from tidewatch.core.sources import SourcesFile
from tidewatch.vault import catalogue
from tidewatch.vault.envelope import load_identities, open_sealed
from tidewatch.vault.layout import region_key
from tidewatch.vault.manifest import Manifest, ObjectEntry, open_manifest

MIB = 1024 * 1024
PROJECT = Path(__file__).parents[2]


UNUSED = {"type": "files", "name": "unused", "data_class": "internal", "path": "/nowhere"}
"""A configuration has at least one source."""


class Clock:
    """The present, plus what a test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Rig:
    """`ctx` is ready to use; `source(...)` adds a source to it."""

    def __init__(self, home: Path, warehouse: str, regions: Sequence[Region], keys: Any) -> None:
        self.home, self.warehouse, self.keys = home, warehouse, keys
        self.clock = Clock()
        self.said: list[str] = []
        self.connections: dict[str, Connection] = {}
        self.settings = Settings(
            home=home / "state",
            project=PROJECT,
            signing_key_file=keys.signing_key_file,
            verify_key_file=keys.verify_key_file,
            recipients_file=keys.recipients_file,
        )
        self.regions = list(regions)
        self.sources: list[dict[str, Any]] = []
        self.tuning = Tuning(part_size=5 * MIB, stall_seconds=10)

    # -- making --------------------------------------------------------------------------------------------

    @property
    def ctx(self) -> BackupContext:
        return BackupContext(
            settings=self.settings,
            connect=lambda: connect(self.warehouse, application_name="tests"),
            sources=SourcesFile.model_validate({"sources": [*self.sources, UNUSED]}),
            regions_file=self.regions_file,
            regions=tuple(self.regions),
            resolver=self.connections.__getitem__,
            clock=self.clock,
            progress=self.said.append,
            tuning=self.tuning,
        )

    @property
    def regions_file(self) -> RegionsFile:
        return RegionsFile(
            policy_id="TEST",
            policy_version="1",
            residency={"internal": ["CN"]},
            regions=[r.config for r in self.regions],
        )

    def postgres_source(self, name: str, dsn: str, **more: Any) -> str:
        fields = conninfo_to_dict(dsn)
        self.connections[f"source_{name}"] = Connection(
            f"source_{name}",
            "postgres",
            host=str(fields["host"]),
            port=int(str(fields["port"])),
            login=str(fields["user"]),
            password=str(fields["password"]),
            schema=str(fields["dbname"]),
        )
        self.sources.append(
            {
                "type": "postgres",
                "name": name,
                "data_class": "internal",
                "connection": f"source_{name}",
                **more,
            }
        )
        return name

    def files_source(self, name: str, path: Path, **more: Any) -> str:
        self.sources.append(
            {"type": "files", "name": name, "data_class": "internal", "path": str(path), **more}
        )
        return name

    def through(self, name: str, region: Region) -> None:
        """Use `region` (behind a proxy, say) in the place of the one called `name`."""
        self.regions = [region if r.name == name else r for r in self.regions]

    def configure(self, name: str, **config: Any) -> None:
        """Change the configuration of one region."""
        self.regions = [
            replace(r, config=r.config.model_copy(update=config)) if r.name == name else r
            for r in self.regions
        ]

    # -- running -------------------------------------------------------------------------------------------

    def back_up(self, source: str, run_id: str = "run-1") -> Outcome:
        """The three steps, as a Dag runs them."""
        ctx = self.ctx
        backup_id = stage(ctx, source, RunRef(dag_id="tests", run_id=run_id)).backup_id
        judge(ctx, backup_id)
        return commit(ctx, backup_id)

    # -- looking -------------------------------------------------------------------------------------------

    def query(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        with connect(self.warehouse, application_name="tests") as conn:
            return conn.execute(statement.encode(), parameters).fetchall()

    def kinds(self, subject: str | None = None) -> list[str]:
        """Kinds of the ledger's records, in order."""
        rows = self.query("select kind, subject from evidence.ledger order by seq")
        return [r["kind"] for r in rows if subject is None or r["subject"] == subject]

    def notices(self) -> list[dict[str, Any]]:
        return self.query("select * from notices.outbox order by 1")

    def get(self, backup_id: str) -> catalogue.Backup:
        with connect(self.warehouse, application_name="tests") as conn:
            return catalogue.get(conn, backup_id)

    def manifest_in(self, region: Region, backup_id: str) -> Manifest:
        path = self.get(backup_id).manifest.path
        data = region.store.read(region_key(region.config.prefix, path.manifest_key))
        return open_manifest(data, self.keys.signing_key.public)

    def manifests(self, region: Region) -> list[str]:
        """Keys of all manifests in a region."""
        return [x.key for x in region.store.list("") if x.key.endswith("manifest.json")]

    def plain(self, region: Region, entry: ObjectEntry) -> bytes:
        """The content of an object as a region holds it, opened with the age identity."""
        data = b"".join(region.store.get(region_key(region.config.prefix, entry.key)))
        return open_bytes(data, self.keys.identity_file)


def open_bytes(data: bytes, identity_file: Path) -> bytes:
    from io import BytesIO

    out: list[bytes] = []
    open_sealed(BytesIO(data), lambda b: out.append(b), *load_identities(identity_file).items)
    return b"".join(out)


def run_sql(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def every(predicate: Callable[[Any], bool], items: Sequence[Any]) -> bool:
    return bool(items) and all(predicate(i) for i in items)


def as_json(value: Any) -> str:
    return json.dumps(value, default=str)
