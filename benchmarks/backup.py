"""Measure a backup of a database against the script one would write by hand, in the same run.

    .venv/bin/python benchmarks/backup.py [--scale 10]

The peer is `pg_dump | zstd | age | upload` to ONE region, without fingerprint, read-back, lock, gate or
record: the same libraries, one thread of ours. Tidewatch does all of it for THREE. Both use the same local
PostgreSQL and the same local S3 servers, which share the machine's cores with what is measured; so the
figures are ratios for this machine and say nothing of your network.
"""

import argparse
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import pyrage
import zstandard
from rich.console import Console
from rich.table import Table

from tidewatch.backup import run as backup
from tidewatch.backup.context import BackupContext, Tuning
from tidewatch.core.clock import utc_now
from tidewatch.core.connections import Connection
from tidewatch.core.database import connect, migrate
from tidewatch.core.progress import human_bytes
from tidewatch.core.regions import RegionConfig, RegionsFile, open_regions
from tidewatch.core.settings import Settings
from tidewatch.core.signing import SigningKey
from tidewatch.core.sources import PostgresSource, SourcesFile
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.s3 import LocalRegion
from tidewatch.local.seed import seed_ops

BUCKET = "benchmark"
NAMES = ("one", "two", "three")


class _Pipe:
    """A reader over a child's output that counts, for pyrage."""

    def __init__(self, stream: Any) -> None:
        self.read = stream.read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", type=float, default=10.0, help="of the sample database; 1 is 43,000 rows")
    scale = parser.parse_args().scale
    with tempfile.TemporaryDirectory(prefix="tidewatch-bench-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        server = LocalPostgres(home / "pg", fsync=False)
        regions = [LocalRegion(name, home / name) for name in NAMES]
        try:
            server.start()
            for region in regions:
                region.start()
                region.create_bucket(BUCKET)
            _measure(home, server, regions, scale)
        finally:
            for region in regions:
                region.stop()
            server.destroy()


def _measure(home: Path, server: LocalPostgres, servers: list[LocalRegion], scale: float) -> None:
    for name in ("ops", "tidewatch"):
        server.create_database(name)
    report = seed_ops(server.dsn("ops"), scale=scale, today=date(2026, 11, 1))
    with connect(server.dsn("tidewatch"), application_name="benchmark") as conn:
        migrate(conn, Settings().sql_dir / "migrations")
    context = _context(home, server, servers)
    import great_expectations  # noqa: F401 - a worker has it loaded; its import is not the backup

    peer = _timed(lambda: _by_hand(context, server))
    phases: dict[str, float] = {}
    state: dict[str, Any] = {}

    def step(name: str, work: Callable[[], Any]) -> None:
        state[name], phases[name] = _timed(work)[::-1]

    run = backup.RunRef(dag_id="benchmark", run_id="1")
    step("stage", lambda: backup.stage(context, "ops", run))
    step("judge", lambda: backup.judge(context, state["stage"].backup_id))
    step("commit", lambda: backup.commit(context, state["stage"].backup_id))
    assert state["commit"].verdict == "sealed", state["commit"]
    _print(report.total, state["commit"].plain_bytes, peer[0], phases)


def _print(rows: int, size: int, by_hand: float, phases: dict[str, float]) -> None:
    table = Table("what", "seconds", "x by hand", title=f"{rows:,} rows, {human_bytes(size)} dumped")
    table.add_row("by hand: pg_dump | zstd | age | upload, one region", f"{by_hand:.2f}", "1.00")
    for name, seconds in [*phases.items(), ("all: three regions, proved", sum(phases.values()))]:
        table.add_row(name, f"{seconds:.2f}", f"{seconds / by_hand:.2f}")
    console = Console()
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    console.print(f"peak memory of this process {human_bytes(peak)}, Great Expectations and boto3 included")


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.monotonic()
    result = work()
    return time.monotonic() - began, result


def _by_hand(context: BackupContext, server: LocalPostgres) -> None:
    command = [server.bin_dir / "pg_dump", "-Fc", "-Z0", "-d", server.dsn("ops")]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as dump,
        tempfile.TemporaryFile() as encrypted,
    ):
        assert dump.stdout is not None
        compressed = zstandard.ZstdCompressor(level=3).stream_reader(dump.stdout)
        pyrage.encrypt_io(_Pipe(compressed), encrypted, context.recipients.items)
        encrypted.seek(0)
        context.regions[0].store.client.upload_fileobj(encrypted, BUCKET, "by-hand/dump.age")
    assert dump.returncode == 0


def _context(home: Path, server: LocalPostgres, servers: list[LocalRegion]) -> BackupContext:
    key = SigningKey.generate()
    key.save(home / "signing.pem")
    key.public.save(home / "signing.pub.pem")
    (home / "recipients.txt").write_text(f"{pyrage.x25519.Identity.generate().to_public()}\n")
    settings = Settings(
        home=home, signing_key_file=home / "signing.pem", verify_key_file=home / "signing.pub.pem",
        recipients_file=home / "recipients.txt",
    )  # fmt: skip
    connections = {
        r.name: Connection(
            r.name, "aws", login=r.access_key, password=r.secret_key,
            extra={"endpoint_url": r.endpoint_url, "region_name": "us-east-1"},
        )
        for r in servers
    }  # fmt: skip
    source = server.dsn("ops")
    parts = dict(pair.split("=", 1) for pair in source.split())
    connections["source"] = Connection(
        "source", "postgres", host=parts["host"], port=int(parts["port"]), login=parts["user"],
        password=parts["password"], schema="ops",
    )  # fmt: skip
    file = RegionsFile(
        policy_id="BENCHMARK", policy_version="1", residency={"public": ["CN"]},
        regions=[
            RegionConfig(name=n, connection=n, bucket=BUCKET, jurisdiction="CN", lock_days=1) for n in NAMES
        ],
    )  # fmt: skip
    return BackupContext(
        settings=settings,
        connect=lambda: connect(server.dsn("tidewatch"), application_name="benchmark"),
        sources=SourcesFile(
            sources=[PostgresSource(name="ops", type="postgres", connection="source", data_class="public")]
        ),
        regions_file=file,
        regions=tuple(open_regions(file, connections.__getitem__)),
        resolver=connections.__getitem__,
        clock=utc_now,
        progress=lambda line: print(f"  {line}", flush=True),
        tuning=Tuning(),
    )


if __name__ == "__main__":
    main()
