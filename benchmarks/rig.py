"""The servers that everything is measured with: one PostgreSQL, the endpoints, keys."""

import json
import secrets
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyrage
from measure import Json, Servers
from place import Rig, Store

from tidewatch.core.database import connect, migrate
from tidewatch.core.settings import Settings
from tidewatch.core.signing import SigningKey
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.s3 import LocalRegion

BUCKETS = ("benchmark-one", "benchmark-two", "benchmark-three")
HERE = Path(__file__).parent
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


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
    identity = pyrage.x25519.Identity.generate()
    (home / "recipients.txt").write_text(f"{identity.to_public()}\n")
    (home / "identity.txt").write_text(f"{identity}\n")
