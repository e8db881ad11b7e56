"""A restore, or the fingerprint of what was restored, in a process of its own; prints what it took as JSON.

    restore_phase.py RIG restore REGION DATABASE      from this region, into this new database
    restore_phase.py RIG fingerprint DATABASE         read it and compare it with the manifest
    restore_phase.py RIG open FILE                    the dump of the newest backup, decrypted, for pg_restore

The clock of `seconds` starts when the libraries are loaded; restore.py counts a restore from the start of its
process.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import boto3  # noqa: F401
import place

from tidewatch.core.database import connect
from tidewatch.restore import run as restoring
from tidewatch.restore.choose import Chosen, choose
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.fetch import fetch
from tidewatch.restore.opening import open_into
from tidewatch.restore.target_database import Target


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rig", type=Path)
    parser.add_argument("what", choices=["restore", "fingerprint", "open"])
    parser.add_argument("arguments", nargs="+")
    given = parser.parse_args()
    rig = place.Rig.load(given.rig)
    ctx = context(rig)
    began, before, loaded = time.monotonic(), time.process_time(), _memory("VmRSS")
    facts: dict[str, Any] = {}
    if given.what == "restore":
        region, name = given.arguments
        request = restoring.Request(
            "ops",
            f"database:database/{name}",
            region=region,
            confirm=name,
            work_dir=rig.home / f"work-{name}",
        )
        facts = dict(restoring.restore(ctx, restoring.make_plan(ctx, request)).as_dict())
    elif given.what == "fingerprint":
        facts = _compare(ctx, Target(rig.database).of(given.arguments[0]))
    else:
        _open(ctx, rig, Path(given.arguments[0]))
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "seconds": time.monotonic() - began,
                "cpu_self": time.process_time() - before,
                "cpu_children": children.ru_utime + children.ru_stime,
                "own_peak_bytes": _memory("VmHWM"),
                "loaded_bytes": loaded,
                "result": facts,
            }
        )
    )


def context(rig: place.Rig) -> RestoreContext:
    made = place.context(rig)
    return RestoreContext(
        settings=made.settings.model_copy(update={"identity_file": rig.home / "identity.txt"}),
        connect=made.connect,
        sources=made.sources,
        regions_file=made.regions_file,
        regions=made.regions,
        resolver=made.resolver,
        clock=made.clock,
    )


def _newest(ctx: RestoreContext) -> Chosen:
    return choose(ctx, "ops", region=ctx.regions[0], at=None, backup_id=None)


def _compare(ctx: RestoreContext, dsn: str) -> dict[str, Any]:
    # A restore does not load these.
    from tidewatch.vault.compare import compare
    from tidewatch.vault.fingerprint import fingerprint_database

    with connect(dsn, application_name="benchmark", autocommit=True) as conn:
        conn.execute("begin isolation level repeatable read read only")
        found = fingerprint_database(conn)
    known = _newest(ctx).manifest.database
    assert known is not None
    said = compare(known, found)
    assert said.equal, said.sentence()
    return {"rows": found.rows}


def _open(ctx: RestoreContext, rig: place.Rig, file: Path) -> None:
    chosen = _newest(ctx)
    [dump] = fetch(ctx, chosen, rig.home / "work-open").by_role("dump")
    with file.open("wb") as out:
        open_into(dump, ctx.identities, out.write)


def _memory(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


if __name__ == "__main__":
    main()
