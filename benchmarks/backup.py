"""Measure the backup against what one would use instead, in the same run, on the same data and endpoints.

    .venv/bin/python benchmarks/backup.py                        # quick: 100 MB, once; `make bench`
    .venv/bin/python benchmarks/backup.py --size 1GB --size 4GB  # all of it, with the cost's growth
    .venv/bin/python benchmarks/report.py                        # docs/benchmarks.md from the kept results

The peers: the script by hand (pg_dump | zstd | age | upload), restic, pgBackRest. The endpoints: `free`, a
stand-in for a store with free bytes (benchmarks/endpoint.py), so that the client is what is measured; and
`demo`, the local S3 servers of `make demo`. docs/benchmarks.md says what is counted and how.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import growth
import pgbackrest
import psutil
import restic
import tables
from contest import PEERS, Contest
from database import GB, Shape
from measure import Json
from rich.console import Console
from rig import HERE

from tidewatch.core.pgbinaries import wheel_binaries

QUICK = GB // 10
UNITS = {"MB": 10**6, "GB": GB}


def main() -> None:
    given = _arguments()
    console = Console(width=150, stderr=True)
    sizes = given.size or [QUICK]
    full = bool(given.size)
    repeat = given.repeat or (3 if full else 1)
    results: Json = {"machine": machine(), "contests": []}

    def say(line: str) -> None:
        console.print(f"{datetime.now(UTC):%H:%M:%S} {line}", highlight=False)

    def save() -> None:
        if given.json is not None:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(results, indent=1) + "\n")

    kinds = ("free", "demo") if given.servers == "both" else (given.servers,)
    for servers in () if "sizes" in given.skip else kinds:
        # The demo's servers stand beside the others for comparison: the smallest size is enough.
        for size in sizes if servers == "free" else [min(sizes)]:
            shape = Shape(size, tables=given.tables, row_bytes=given.row_bytes)
            results["contests"].append(Contest(shape, servers, repeat, set(given.skip), say).measure())
            save()
    if full and "tables" not in given.skip:
        say("growth: the same rows in more tables")
        results["tables"] = growth.tables(min(sizes), [1, 10, 100], say)
        save()
    if (full or given.files) and "files" not in given.skip:
        say("growth: files")
        results["files"] = growth.files(given.files or [1_000, 100_000], given.file_bytes, say)
        save()
    for table in tables.everything(results):
        Console(width=170).print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--size", action="append", type=_size, help="of pg_dump's output, such as 1GB; repeat"
    )
    parser.add_argument("--repeat", type=int, help="runs of each; 3, or 1 without --size")
    parser.add_argument("--servers", choices=["free", "demo", "both"], help="both with --size, else free")
    parser.add_argument(
        "--row-bytes", type=int, default=300, help="of a row in pg_dump's output; 60 is narrow"
    )
    parser.add_argument("--tables", type=int, default=4)
    parser.add_argument("--skip", action="append", default=[], choices=[*PEERS, "sizes", "tables", "files"])
    parser.add_argument("--files", type=int, nargs="+", help="counts of files; 1000 100000 with --size")
    parser.add_argument("--file-bytes", type=int, default=growth.FILE_BYTES, help="64 MiB and more: sparse")
    parser.add_argument("--json", type=Path, help="write every run here")
    given = parser.parse_args()
    given.servers = given.servers or ("both" if given.size else "free")
    return given


def _size(text: str) -> int:
    found = re.fullmatch(r"([\d.]+)\s*([MG]B)", text, re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError("a size is written like 500MB or 4GB")
    return int(float(found[1]) * UNITS[found[2].upper()])


def machine() -> Json:
    """What was measured with what."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False
    )
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit.stdout.strip() or "unknown",
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "restic": restic.version(),
        "pgbackrest": pgbackrest.version() if shutil.which("pgbackrest") else None,
        "postgresql": _version(wheel_binaries() / "pg_dump"),
        "zstd": _version("zstd"),
        "age": _version("age"),
        "curl": _version("curl"),
    }


def _version(program: str | Path) -> str | None:
    if shutil.which(program) is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    return found[0] if found else "unknown"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found = re.search(r"model name\s*: (.*)", text)
    return found[1].strip() if found else platform.machine()


if __name__ == "__main__":
    main()
