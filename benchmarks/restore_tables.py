"""The results of restore.py as tables, and its targets: every one is told, missed ones too."""

from collections.abc import Iterator

from measure import Json
from tables import GB, MIB, Table
from targets import medians

PLAIN, ONE, FINGERPRINT = "pg_restore -j2, local file", "Tidewatch, one region", "fingerprint of it"
CHECKED = "Tidewatch and fingerprint, one region"
_THREE = "Tidewatch and fingerprint, three regions"
_FLAT = 32 * MIB


def of(results: Json) -> Iterator[Table]:
    yield _targets(results["contests"])
    for contest in results["contests"]:
        yield _contenders(contest)
    if "growth" in results:
        yield _growth(results["growth"])


def _targets(contests: list[Json]) -> Table:
    table = Table("Targets of the restore", "target", "size", "limit", "found", "")
    first: float | None = None
    for contest in contests:
        found, size = medians(contest), f"{contest['shape']['bytes'] / GB:g} GB"
        load = _load(contest)
        _row(table, "restore / pg_restore -j2", size, 1.2, found[ONE]["seconds"] / found[PLAIN]["seconds"])
        _row(table, "fingerprint / its load", size, 1.0, found[FINGERPRINT]["seconds"] / load)
        three = [one["seconds"] for name, one in found.items() if name.startswith(_THREE)]
        if three:
            _row(table, "three regions tested / one", size, 3.3, min(three) / found[CHECKED]["seconds"])
        peak = found[ONE]["peak_bytes"]
        if first is None:
            first = peak
            table.add(
                "peak memory of a restore, children included", size, "(no limit)", f"{peak / MIB:.0f} MiB", ""
            )
        else:
            more = peak - first
            verdict = "reached" if more <= _FLAT else "MISSED"
            table.add("peak memory is flat", size, "<= 32 MiB more", f"{more / MIB:+.0f} MiB", verdict)
    return table


def _row(table: Table, what: str, size: str, limit: float, found: float) -> None:
    table.add(what, size, f"<= {limit:.1f}", f"{found:.2f}", "reached" if found <= limit else "MISSED")


def _load(contest: Json) -> float:
    """Seconds of a restore without the fetching and the start of its process, the median."""
    seconds = sorted(run["work_seconds"] - run["result"]["seconds"]["fetch"] for run in contest["runs"][ONE])
    return float(seconds[len(seconds) // 2])


def _contenders(contest: Json) -> Table:
    shape, found = contest["shape"], medians(contest)
    table = Table(
        f"Restore: {contest['plain_bytes'] / GB:.2f} GB dumped, {shape['tables']} tables, free endpoints",
        "what", "runs", "seconds", "from - to", "x pg_restore", "client CPU", "server CPU", "endpoint CPU",
        "peak MiB",
    )  # fmt: skip
    base = found[PLAIN]["seconds"]
    for name, one in found.items():
        table.add(
            name,
            str(one["runs"]),
            f"{one['seconds']:.2f}",
            f"{one['shortest']:.2f} - {one['longest']:.2f}",
            f"{one['seconds'] / base:.2f}",
            f"{one['cpu']:.2f}",
            f"{one['postgres_cpu']:.2f}",
            f"{one['endpoint_cpu']:.2f}",
            f"{one['peak_bytes'] / MIB:.0f}",
        )
    return table


def _growth(rows: list[Json]) -> Table:
    table = Table(
        "Restore: the same rows in more tables", "tables", "pg_restore -j2 s", "restore s", "of it fetch s",
        "fingerprint s",
    )  # fmt: skip
    for row in rows:
        found = medians(row)
        fetch = row["runs"][ONE][0]["result"]["seconds"]["fetch"]
        table.add(
            f"{row['tables']:,}",
            f"{found[PLAIN]['seconds']:.2f}",
            f"{found[ONE]['seconds']:.2f}",
            f"{fetch:.2f}",
            f"{found[FINGERPRINT]['seconds']:.2f}",
        )
    return table
