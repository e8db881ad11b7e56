"""What a process of its own has to know to make a backup, and what a worker builds of it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tidewatch.backup.context import BackupContext
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import Connection
from tidewatch.core.database import connect
from tidewatch.core.progress import Progress, silent
from tidewatch.core.regions import RegionConfig, RegionsFile, open_regions
from tidewatch.core.settings import Settings
from tidewatch.core.sources import FilesSource, PostgresSource, SourcesFile


@dataclass(frozen=True)
class Store:
    """An S3 endpoint with a bucket of its own for each region."""

    url: str
    bucket: str
    login: str = field(repr=False)
    password: str = field(repr=False)


@dataclass
class Rig:
    """Where things are; plain data, so that a process of its own can be told."""

    home: Path
    warehouse: str = field(repr=False)
    database: str = field(repr=False)
    """DSN of the database that is backed up."""
    stores: list[Store]
    files: Path

    def save(self) -> Path:
        path = self.home / "rig.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), default=str))
        return path

    @classmethod
    def load(cls, path: Path) -> "Rig":
        facts = json.loads(path.read_text())
        stores = [Store(**one) for one in facts.pop("stores")]
        home, files = Path(facts.pop("home")), Path(facts.pop("files"))
        return cls(**facts, home=home, files=files, stores=stores)

    @property
    def recipients(self) -> Path:
        return self.home / "recipients.txt"


def context(rig: Rig, progress: Progress = silent) -> BackupContext:
    """What a worker builds from its configuration: three regions, the sources `ops` and `media`."""
    settings = Settings(
        home=rig.home,
        signing_key_file=rig.home / "signing.pem",
        verify_key_file=rig.home / "signing.pub.pem",
        recipients_file=rig.recipients,
    )
    connections = {
        store.bucket: Connection(
            store.bucket,
            "aws",
            login=store.login,
            password=store.password,
            extra={"endpoint_url": store.url, "region_name": "us-east-1"},
        )
        for store in rig.stores
    }
    parts = conninfo_to_dict(rig.database)
    connections["database"] = Connection(
        "database",
        "postgres",
        host=str(parts["host"]),
        port=int(str(parts["port"])),
        login=str(parts["user"]),
        password=str(parts["password"]),
        schema=str(parts["dbname"]),
    )
    regions = RegionsFile(
        policy_id="BENCHMARK",
        policy_version="1",
        residency={"public": ["CN"]},
        regions=[
            RegionConfig(name=s.bucket, connection=s.bucket, bucket=s.bucket, jurisdiction="CN", lock_days=1)
            for s in rig.stores
        ],
    )
    ops = PostgresSource(name="ops", type="postgres", connection="database", data_class="public")
    media = FilesSource.model_validate(
        {"name": "media", "type": "files", "path": str(rig.files), "data_class": "public"}
    )
    return BackupContext(
        settings=settings,
        connect=lambda: connect(rig.warehouse, application_name="benchmark"),
        sources=SourcesFile(sources=[ops, media]),
        regions_file=regions,
        regions=tuple(open_regions(regions, connections.__getitem__)),
        resolver=connections.__getitem__,
        clock=utc_now,
        progress=progress,
    )
