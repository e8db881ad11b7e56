"""The place where everything is measured: one PostgreSQL, the endpoints, keys. A child rebuilds it."""

import json
import secrets
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyrage
from measure import Json, Servers
from psycopg.conninfo import conninfo_to_dict

from tidewatch.backup.context import BackupContext
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import Connection
from tidewatch.core.database import connect, migrate
from tidewatch.core.progress import Progress, silent
from tidewatch.core.regions import RegionConfig, RegionsFile, open_regions
from tidewatch.core.settings import Settings
from tidewatch.core.signing import SigningKey
from tidewatch.core.sources import FilesSource, PostgresSource, SourcesFile
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.s3 import LocalRegion

BUCKETS = ("benchmark-one", "benchmark-two", "benchmark-three")
HERE = Path(__file__).parent
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


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


@dataclass
class Running:
    """The rig with its servers."""

    rig: Rig
    postgres: LocalPostgres
    regions: list[LocalRegion]
    endpoint: subprocess.Popen[str] | None
    scratch: Path
    """A directory in memory for what a script leaves on its way."""

    def servers(self) -> Servers:
        assert self.postgres.daemon is not None
        stores = [r.daemon.pid for r in self.regions if r.daemon is not None]
        return Servers([self.postgres.daemon.pid], [self.endpoint.pid] if self.endpoint else stores)

    def forget(self) -> None:
        """Empty the measuring endpoint; the demo's servers keep what they have."""
        if self.endpoint is not None:
            request = urllib.request.Request(f"{self.rig.stores[0].url}/-/forget", method="POST")  # noqa: S310
            urllib.request.urlopen(request).read()  # noqa: S310

    def usage(self) -> Json:
        """Calls and bytes of the measuring endpoint since it was emptied."""
        with urllib.request.urlopen(f"{self.rig.stores[0].url}/-/usage") as reply:  # noqa: S310
            facts: Json = json.load(reply)
        return facts


@contextmanager
def running(servers: str, *, reserve_gib: float = 1.0) -> Iterator[Running]:
    """Start everything in a directory of its own; stop and remove it at the end. `servers`: free or demo."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidewatch-bench-")))
        home.chmod(0o711)
        memory = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="tidewatch-bench-", dir=memory))
        postgres = LocalPostgres(home / "pg", fsync=False)
        stack.callback(postgres.destroy)
        postgres.start()
        regions: list[LocalRegion] = []
        endpoint: subprocess.Popen[str] | None = None
        if servers == "free":
            endpoint, stores = _free(stack, reserve_gib)
        else:
            regions, stores = _demo(stack, home)
        for name in ("ops", "tidewatch"):
            postgres.create_database(name)
        with connect(postgres.dsn("tidewatch"), application_name="benchmark") as conn:
            migrate(conn, Settings().sql_dir / "migrations")
        _keys(home)
        rig = Rig(home, postgres.dsn("tidewatch"), postgres.dsn("ops"), stores, Path(scratch) / "files")
        yield Running(rig, postgres, regions, endpoint, Path(scratch))


def _free(stack: ExitStack, reserve_gib: float) -> tuple[subprocess.Popen[str], list[Store]]:
    command = [sys.executable, str(HERE / "endpoint.py"), "--reserve-gib", str(reserve_gib)]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    url = f"http://127.0.0.1:{int(process.stdout.readline())}"
    return process, [Store(url, bucket, "benchmark", secrets.token_hex(16)) for bucket in BUCKETS]


def _demo(stack: ExitStack, home: Path) -> tuple[list[LocalRegion], list[Store]]:
    regions = [LocalRegion(bucket, home / bucket) for bucket in BUCKETS]
    for region in regions:
        stack.callback(region.stop)
        region.start()
        region.create_bucket(region.name)
    return regions, [Store(r.endpoint_url, r.name, r.access_key, r.secret_key) for r in regions]


def _keys(home: Path) -> None:
    key = SigningKey.generate()
    key.save(home / "signing.pem")
    key.public.save(home / "signing.pub.pem")
    (home / "recipients.txt").write_text(f"{pyrage.x25519.Identity.generate().to_public()}\n")


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
