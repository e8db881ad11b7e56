"""Write the results into docs/benchmarks.md, each kind between its two marks.

    .venv/bin/python benchmarks/report.py [--check]

The results are what `backup.py`, `restore.py` and `sentiment.py` wrote to benchmarks/results/ with `--json`.
With `--check` nothing is written; the exit code says whether the page tells what the results say.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import restore_tables
import sentiment_tables
import tables
from measure import Json
from targets import medians

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
_WHO = {"client": "cpu", "PostgreSQL": "postgres_cpu", "endpoints": "endpoint_cpu"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    page = wanted = PAGE.read_text(encoding="utf-8")
    for file, mark, text in (
        ("backup", "results", _text),
        ("restore", "restore results", _restores),
        ("sentiment", "sentiment results", _sentiment),
    ):
        kept = HERE / "results" / f"{file}.json"
        lines = text(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else ()
        wanted = _between(wanted, mark, "\n".join(lines))
    if given.check:
        return 0 if page == wanted else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


def _between(page: str, mark: str, text: str) -> str:
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    head, _, rest = page.partition(begin)
    return f"{head}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}"


def _restores(results: Json) -> Iterator[str]:
    m = results["machine"]
    yield (
        f"Measured {m['at']} at commit `{m['commit']}` on {m['cores']} cores ({m['processor']}), "
        f"{m['memory_bytes'] / 2**30:.0f} GiB, Python {m['python']}, PostgreSQL {m['postgresql']}.\n"
    )
    for table in restore_tables.of(results):
        yield table.markdown()


def _sentiment(results: Json) -> Iterator[str]:
    m = results["machine"]
    yield (
        f"Measured {m['at']} at commit `{m['commit']}` on {m['cores']} cores ({m['processor']}), "
        f"{m['memory_bytes'] / 2**30:.0f} GiB, Python {m['python']}.\n"
    )
    for table in sentiment_tables.everything(results):
        yield table.markdown()


def _text(results: Json) -> Iterator[str]:
    m = results["machine"]
    yield (
        f"Measured {m['at']} at commit `{m['commit']}` on {m['cores']} cores ({m['processor']}), "
        f"{m['memory_bytes'] / 2**30:.0f} GiB, Python {m['python']}, PostgreSQL {m['postgresql']}, "
        f"zstd {m['zstd']}, age {m['age']}, curl {m['curl']}, "
        f"{m['restic'] or 'no restic'}, {m['pgbackrest'] or 'no pgBackRest'}.\n"
    )
    for table in tables.of(results):
        yield table.markdown()
    for contest in results["contests"]:
        yield from (f"- {note}" for note in [*_bounds(contest, m["cores"]), *contest["notes"]])
    yield ""


def _bounds(contest: Json, cores: int) -> Iterator[str]:
    """How much of the machine the stage used, and what of it the fingerprint took."""
    size, found = contest["shape"]["bytes"] / 10**9, medians(contest)
    stage, without = found["tidewatch/stage"], found["handed/stage"]
    spent = stage["cpu"] + stage["postgres_cpu"] + stage["endpoint_cpu"]
    busy = spent / stage["seconds"]
    bound = "by the CPU" if busy + stage["others_cores"] > 0.85 * cores else "not by the CPU alone"
    shares = ", ".join(f"{who} {stage[key] / spent:.0%}" for who, key in _WHO.items())
    where = f"{size:g} GB, {contest['servers']} endpoints"
    yield (
        f"{where}: while staging, {busy:.2f} of {cores} cores are busy for it ({shares} of that CPU) and "
        f"{stage['others_cores']:.2f} for others: bound {bound}."
    )
    yield (
        f"{where}: the fingerprint costs {stage['cpu'] - without['cpu']:.1f} s of CPU in the client and "
        f"{stage['postgres_cpu'] - without['postgres_cpu']:.1f} s in PostgreSQL, which reads the rows twice; "
        f"the rest of the stage {without['cpu']:.1f} s and {without['postgres_cpu']:.1f} s."
    )


if __name__ == "__main__":
    sys.exit(main())
