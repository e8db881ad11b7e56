"""One task of a backup in a process of its own, as Airflow runs it; prints what it took as JSON.

    phase.py RIG stage SOURCE RUN [--fingerprint FILE]
    phase.py RIG judge|commit BACKUP_ID
    phase.py RIG fingerprint SOURCE --fingerprint FILE

The libraries that a worker has loaded already are imported before the clock starts, and their time is told
apart. With `--fingerprint` the stage is the real one but for one thing: it is handed the fingerprint in
FILE, which the last form has put there, instead of computing it. That exists in this benchmark only.
"""

import argparse
import json
import os
import pickle
import resource
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
BEGAN = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rig", type=Path)
    parser.add_argument("phase", choices=["stage", "judge", "commit", "fingerprint"])
    parser.add_argument("subject")
    parser.add_argument("run", nargs="?", default="")
    parser.add_argument("--fingerprint", type=Path)
    given = parser.parse_args()

    import boto3  # noqa: F401
    import place

    from tidewatch.backup import run as backup

    if given.phase == "judge":
        import great_expectations  # noqa: F401
    steps: list[tuple[float, str]] = []
    ctx = place.context(
        place.Rig.load(given.rig), lambda line: steps.append((time.monotonic() - start.wall, line))
    )
    if given.phase == "fingerprint":
        _compute(ctx, given.fingerprint)
        return
    if given.fingerprint is not None:
        _hand_over(given.fingerprint)
    imports = time.monotonic() - BEGAN
    start = _Start()
    if given.phase == "stage":
        run = backup.RunRef(dag_id="benchmark", run_id=given.run)
        result: Any = backup.stage(ctx, given.subject, run)
    elif given.phase == "judge":
        result = backup.judge(ctx, given.subject)
    else:
        result = backup.commit(ctx, given.subject)
    facts = start.taken() | {"imports": imports, "steps": steps, "result": asdict(result)}
    print(json.dumps(facts, default=str))


class _Start:
    def __init__(self) -> None:
        self.used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        self.loaded = _memory("VmRSS")
        self.wall = time.monotonic()

    def taken(self) -> dict[str, Any]:
        seconds = time.monotonic() - self.wall
        now = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own, children = (
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            for before, after in zip(self.used, now, strict=True)
        )
        return {
            "seconds": seconds,
            "cpu_self": own,
            "cpu_children": children,
            "own_peak_bytes": _memory("VmHWM"),
            "loaded_bytes": self.loaded,
        }


def _memory(what: str) -> int:
    """Bytes of this process alone, since its program was loaded (getrusage would tell its parent's too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def _compute(ctx: Any, file: Path) -> None:
    """In a process of its own, so that none of its cost is counted with what is measured."""
    from tidewatch.backup.postgres import open_snapshot
    from tidewatch.vault.fingerprint import fingerprint_database

    source = ctx.sources.source("ops")
    dsn = ctx.resolver(source.connection).postgres_dsn()
    with open_snapshot(source, dsn, settings=ctx.settings, clock=ctx.clock) as snapshot:
        file.write_bytes(pickle.dumps(fingerprint_database(snapshot.conn)))


def _hand_over(file: Path) -> None:
    from tidewatch.backup import capture

    known = pickle.loads(file.read_bytes())  # noqa: S301 - written by `_compute`

    class Known:
        """What `Fingerprinting` is to the capture, with nothing left to do."""

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def stops(self, child: Any) -> None:
            pass

        def failure(self) -> None:
            return None

        def result(self) -> Any:
            return known

        def close(self) -> None:
            pass

    vars(capture)["Fingerprinting"] = Known


if __name__ == "__main__":
    main()
