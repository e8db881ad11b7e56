"""Measure the restore against plain pg_restore from a local decrypted file, in the same run.

    .venv/bin/python benchmarks/restore.py                        # quick: 100 MB, once
    .venv/bin/python benchmarks/restore.py --size 1GB --size 4GB --json benchmarks/results/restore.json
    .venv/bin/python benchmarks/report.py                         # docs/benchmarks.md from the kept results

docs/benchmarks.md says what is counted and how.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import database
import ours
import psycopg
import restore_tables
from database import Shape
from measure import Json, Taken, run, shell
from psycopg import sql
from rich.console import Console
from rig import BUCKETS, HERE, Running, running

from backup import QUICK, _size, machine

Say = Callable[[str], None]
TABLES = (1, 10, 100)
_FIELDS = ("own_peak_bytes", "loaded_bytes", "result")


def main() -> None:
    given = _arguments()
    console = Console(width=150, stderr=True)
    sizes = given.size or [QUICK]
    repeat = given.repeat or (3 if given.size else 1)
    results: Json = {"machine": machine(), "contests": []}

    def say(line: str) -> None:
        console.print(f"{datetime.now(UTC):%H:%M:%S} {line}", highlight=False)

    def save() -> None:
        if given.json is not None:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(results, indent=1) + "\n")

    for size in sizes:
        results["contests"].append(contest(Shape(size, tables=given.tables), repeat, say))
        save()
    if given.size or given.growth:
        results["growth"] = []
        for tables in TABLES:
            found = contest(Shape(min(sizes), tables=tables), 1, say, three=False)
            results["growth"].append({"tables": tables, **found})
            save()
    for table in restore_tables.of(results):
        Console(width=150).print(table.rich())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--size", action="append", type=_size, help="of pg_dump's output, such as 1GB; repeat"
    )
    parser.add_argument("--repeat", type=int, help="runs of each; 3, or 1 without --size")
    parser.add_argument("--tables", type=int, default=4)
    parser.add_argument("--growth", action="store_true", help="1, 10 and 100 tables, also without --size")
    parser.add_argument("--json", type=Path, help="write every run here")
    return parser.parse_args()


def contest(shape: Shape, repeat: int, say: Say, *, three: bool = True) -> Json:
    """Every way to bring back one backup, in turn."""
    runs: dict[str, list[Json]] = {}
    with running("free", reserve_gib=shape.bytes * 1.5 / 2**30 + 0.5) as place:
        say(f"{shape.bytes / 1e9:g} GB in {shape.tables} tables: data")
        database.fill(place.rig.database, shape)
        say("backup")
        ours.backup(place)
        dump = place.scratch / "dump.pgc"
        _phase(place, "open", str(dump))
        ways: dict[str, Callable[[Running, Path], Taken]] = {
            "pg_restore -j2, local file": _plain,
            "Tidewatch, one region": _one,
            "fingerprint of it": _fingerprint,
        }
        if three:
            ways["Tidewatch and fingerprint, one region"] = lambda p, _: _checked(p, BUCKETS[:1])
            ways["Tidewatch and fingerprint, three regions, one after the other"] = lambda p, _: _checked(
                p, BUCKETS
            )
            ways["Tidewatch and fingerprint, three regions at once"] = lambda p, _: _checked(
                p, BUCKETS, at_once=True
            )
        for number in range(repeat):
            for name, way in ways.items():
                taken = way(place, dump)
                runs.setdefault(name, []).append(taken.as_json())
                say(f"run {number + 1}: {name}: {taken.seconds:.2f} s")
            _drop(place, "one")
        return {"shape": vars(shape), "plain_bytes": dump.stat().st_size, "runs": runs}


def _plain(place: Running, dump: Path) -> Taken:
    """What the limits are measured by: a database is made, then everything loaded with two sessions."""
    _admin(place, "drop database if exists {}", "plain")
    script = (
        '"$BIN/createdb" --template=template0 --maintenance-db="$ADMIN" plain\n'
        '"$BIN/pg_restore" --jobs=2 --dbname="$PLAIN" "$DUMP"'
    )
    names = {"BIN": place.postgres.bin_dir, "ADMIN": place.postgres.dsn(), "DUMP": dump}
    env = {name: str(value) for name, value in names.items()} | {"PLAIN": place.postgres.dsn("plain")}
    taken = shell(script, env=env, servers=place.servers())
    _drop(place, "plain")
    return taken


def _one(place: Running, _: Path) -> Taken:
    return _restore(place, BUCKETS[0], "one")


def _fingerprint(place: Running, _: Path) -> Taken:
    return _phase(place, "fingerprint", "one")


def _checked(place: Running, regions: tuple[str, ...], *, at_once: bool = False) -> Taken:
    """What a restore test does of each region: restore, then read everything and compare."""
    names = {region: f"test_{number}" for number, region in enumerate(regions)}

    def test(region: str) -> list[Taken]:
        return [_restore(place, region, names[region]), _phase(place, "fingerprint", names[region])]

    before, began = place.servers().cpu(), datetime.now(UTC)
    with ThreadPoolExecutor(len(regions) if at_once else 1) as pool:
        parts = [taken for pair in pool.map(test, regions) for taken in pair]
    total = Taken(seconds=(datetime.now(UTC) - began).total_seconds(), cpu=sum(p.cpu for p in parts))
    total.postgres_cpu, total.endpoint_cpu = (
        now - then for now, then in zip(place.servers().cpu(), before, strict=True)
    )
    peaks = [part.peak_bytes for part in parts]
    total.peak_bytes = sum(peaks) if at_once else max(peaks)
    for name in names.values():
        _drop(place, name)
    return total


def _restore(place: Running, region: str, name: str) -> Taken:
    """Counted from the start of the process to its end, as the peer is."""
    return _phase(place, "restore", region, name, whole=True)


def _phase(place: Running, *arguments: str, whole: bool = False) -> Taken:
    rig = place.rig.save()
    done = run([sys.executable, HERE / "restore_phase.py", rig, *arguments], servers=place.servers())
    facts: Json = json.loads(done.output.splitlines()[-1])
    if not whole:
        done.seconds, done.cpu = facts["seconds"], facts["cpu_self"] + facts["cpu_children"]
    done.detail = {k: facts[k] for k in _FIELDS} | {"work_seconds": facts["seconds"]}
    return done


def _drop(place: Running, name: str) -> None:
    _admin(place, "drop database if exists {} with (force)", name)


def _admin(place: Running, statement: Any, name: str) -> None:
    with psycopg.connect(place.postgres.dsn(), autocommit=True) as conn:
        conn.execute(sql.SQL(statement).format(sql.Identifier(name)))
        conn.execute("checkpoint")


if __name__ == "__main__":
    main()
