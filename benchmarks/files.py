"""Measure how the cost of a files backup grows: the first backup, and a second one of unchanged files.

    .venv/bin/python benchmarks/files.py [--counts 1000 10000 100000] [--bytes 1000]
    .venv/bin/python benchmarks/files.py --counts 1 --bytes 5368709120      # one sparse file of 5 GiB

Every count is a process of its own, with its own warehouse and three local S3 servers, which share the
machine's cores with what is measured. Memory is what the process held at most during a phase, Great
Expectations and boto3 (about 220 MB, loaded before) included; `added` is what the phase itself took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import pyrage
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
from tidewatch.core.sources import FilesSource, SourcesFile
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault.layout import region_key

BUCKET = "benchmark"
NAMES = ("one", "two", "three")
PHASES = ("stage", "judge", "commit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--bytes", type=int, default=1000, help="of each file; 64 MiB and more are sparse")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(_alone(arguments.one, arguments.bytes)))
        return
    results = []
    for count in arguments.counts:
        command = [sys.executable, __file__, "--one", str(count), "--bytes", str(arguments.bytes)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results += json.loads(done.stdout)
    _print(results)


def _alone(count: int, size: int) -> list[dict[str, Any]]:
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
            _write(home / "media", count, size)
            return _measure(home, server, regions, count)
        finally:
            for region in regions:
                region.stop()
            server.destroy()


def _write(root: Path, count: int, size: int) -> None:
    """`count` files of `size` bytes, a hundred to a directory."""
    for n in range(count):
        folder = root / f"{n // 10_000:03}" / f"{n // 100:05}"
        if n % 100 == 0:
            folder.mkdir(parents=True)
        with (folder / f"picture-{n:07}.jpg").open("wb") as file:
            if size < 64 * 1024 * 1024:
                file.write((b"%d" % n + os.urandom(16) * (size // 16 + 1))[:size])
            else:
                file.truncate(size)


def _measure(
    home: Path, server: LocalPostgres, servers: list[LocalRegion], count: int
) -> list[dict[str, Any]]:
    server.create_database("tidewatch")
    with connect(server.dsn("tidewatch"), application_name="benchmark") as conn:
        migrate(conn, Settings().sql_dir / "migrations")
    context = _context(home, server, servers)
    import great_expectations  # noqa: F401 - a worker has it loaded; its import is not the backup

    results = []
    for which in ("first", "second"):
        result: dict[str, Any] = {"files": count, "backup": which}
        run = backup.RunRef(dag_id="benchmark", run_id=which)
        staged = _timed(result, "stage", lambda run=run: backup.stage(context, "media", run))
        backup_id = staged.backup_id
        _timed(result, "judge", lambda backup_id=backup_id: backup.judge(context, backup_id))
        outcome = _timed(result, "commit", lambda backup_id=backup_id: backup.commit(context, backup_id))
        assert outcome.verdict == "sealed" and outcome.files == count, outcome
        with context.connect() as conn:
            row = conn.execute(
                "select pg_column_size(document) as bytes, length(document::text) as text,"
                " (select count(*) from vault.contents) as contents"
                " from vault.backups where backup_id = %s",
                [backup_id],
            ).fetchone()
            assert row is not None
        region = context.regions[0]
        keys = list(region.store.list(region_key(region.config.prefix, "media/")))
        manifest = next(x.size for x in keys if backup_id in x.key and x.key.endswith("manifest.json"))
        result |= {
            "manifest": manifest,
            "row": row["bytes"],
            "contents": row["contents"],
            "new": outcome.new_stored_bytes,
            "objects": sum(backup_id in x.key for x in keys),
        }
        results.append(result)
    return results


def _timed(result: dict[str, Any], name: str, work: Callable[[], Any]) -> Any:
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before, cpu, began = _kib("VmRSS"), time.process_time(), time.monotonic()
    value = work()
    result[name] = {
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "peak": _kib("VmHWM") * 1024,
        "added": (_kib("VmHWM") - before) * 1024,
    }
    print(f"{result['files']} files, {result['backup']}: {name} {result[name]}", file=sys.stderr, flush=True)
    return value


def _kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def _print(results: list[dict[str, Any]]) -> None:
    table = Table(
        "files", "backup", *(f"{p} s" for p in PHASES), "all s", "CPU s", "peak", "added", "manifest",
        "catalogue row", "known contents", "uploaded", "objects a region",
    )  # fmt: skip
    for r in results:
        seconds = [r[p]["seconds"] for p in PHASES]
        table.add_row(
            f"{r['files']:,}",
            r["backup"],
            *(f"{s:.1f}" for s in seconds),
            f"{sum(seconds):.1f}",
            f"{sum(r[p]['cpu'] for p in PHASES):.1f}",
            human_bytes(max(r[p]["peak"] for p in PHASES)),
            human_bytes(max(r[p]["added"] for p in PHASES)),
            human_bytes(r["manifest"]),
            human_bytes(r["row"]),
            f"{r['contents']:,}",
            human_bytes(r["new"]),
            str(r["objects"]),
        )
    Console(width=180).print(table)


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
    file = RegionsFile(
        policy_id="BENCHMARK", policy_version="1", residency={"public": ["CN"]},
        regions=[
            RegionConfig(name=n, connection=n, bucket=BUCKET, jurisdiction="CN", lock_days=1) for n in NAMES
        ],
    )  # fmt: skip
    media = FilesSource(name="media", type="files", path=str(home / "media"), data_class="public")
    return BackupContext(
        settings=settings,
        connect=lambda: connect(server.dsn("tidewatch"), application_name="benchmark"),
        sources=SourcesFile(sources=[media]),
        regions_file=file,
        regions=tuple(open_regions(file, connections.__getitem__)),
        resolver=connections.__getitem__,
        clock=utc_now,
        tuning=Tuning(),
    )


if __name__ == "__main__":
    main()
