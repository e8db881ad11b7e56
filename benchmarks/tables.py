"""The results as tables: for a terminal with rich, for the page as Markdown."""

from collections.abc import Iterator, Sequence

from measure import Json
from rich.table import Table as RichTable
from targets import base, medians, restic_seconds, targets

GB = 10**9
MIB = 1 << 20
PHASES = ("stage", "judge", "commit")


class Table:
    """A title, a head and rows of text; the first column is a name, the others are numbers."""

    def __init__(self, title: str, *head: str) -> None:
        self.title = title
        self.head = head
        self.rows: list[Sequence[str]] = []

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def rich(self) -> RichTable:
        table = RichTable(title=self.title, title_justify="left")
        for number, name in enumerate(self.head):
            table.add_column(name, justify="left" if number == 0 else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        lines = ["| " + " | ".join(self.head) + " |", "|---" + "|--:" * (len(self.head) - 1) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return f"### {self.title}\n\n" + "\n".join(lines) + "\n"


def everything(results: Json) -> Iterator[RichTable]:
    """All tables of a run, for the terminal."""
    for table in of(results):
        yield table.rich()


def of(results: Json) -> Iterator[Table]:
    """All tables of a run."""
    if any(c["servers"] == "free" for c in results["contests"]):
        yield target_table(results["contests"])
    for contest in results["contests"]:
        yield contenders(contest)
        yield shares(contest)
    if "tables" in results:
        yield tables_growth(results["tables"])
    if "files" in results:
        yield files_growth(results["files"])


def target_table(contests: list[Json]) -> Table:
    table = Table("Targets", "target", "size", "limit", "found", "")
    for t in targets(contests):
        verdict = {True: "reached", False: "MISSED", None: ""}[t.reached]
        table.add(t.what, f"{t.size / GB:g} GB", t.limit, t.found, verdict)
    return table


_LABELS = {
    "script": "script",
    "tidewatch": "Tidewatch",
    "handed": "without fingerprint",
    "restic": "restic",
    "pgbackrest": "pgBackRest",
}


def contenders(contest: Json) -> Table:
    shape, found = contest["shape"], medians(contest)
    ratio = contest["plain_bytes"] / contest["stored_bytes"]
    title = (
        f"{contest['plain_bytes'] / GB:.2f} GB dumped, {contest['rows']:,} rows in {shape['tables']} tables, "
        f"{contest['servers']} endpoints (compressed {ratio:.1f} : 1)"
    )
    table = Table(
        title, "what", "runs", "seconds", "from - to", "x base", "client CPU", "server CPU", "endpoint CPU",
        "cores busy", "by others", "peak MiB",
    )  # fmt: skip
    script = base(found)
    for name, one in found.items():
        who, _, what = name.partition("/")
        label = f"{_LABELS[who]}: {what}" + (" (base)" if script and name == script[0] else "")
        _contender(table, label, one, script[1] if script else None)
    peer = restic_seconds(found)
    if peer is not None and script is not None:
        blank = [""] * 6
        table.add("restic: backup and both copies, the faster way", "", f"{peer:.2f}", "",
                  f"{peer / script[1]:.2f}", *blank)  # fmt: skip
    return table


def _contender(table: Table, label: str, one: Json, script: float | None) -> None:
    spent = one["cpu"] + one["postgres_cpu"] + one["endpoint_cpu"]
    table.add(
        label,
        str(one["runs"]),
        f"{one['seconds']:.2f}",
        f"{one['shortest']:.2f} - {one['longest']:.2f}",
        f"{one['seconds'] / script:.2f}" if script else "",
        f"{one['cpu']:.2f}",
        f"{one['postgres_cpu']:.2f}",
        f"{one['endpoint_cpu']:.2f}",
        f"{spent / one['seconds']:.2f}",
        f"{one['others_cores']:.2f}",
        f"{one['peak_bytes'] / MIB:.0f}",
    )


def shares(contest: Json) -> Table:
    """Where the time of a whole backup goes; of every stage the median."""
    size, servers = contest["shape"]["bytes"] / GB, contest["servers"]
    table = Table(f"Where the time goes, {size:g} GB, {servers} endpoints", "stage", "seconds", "share")
    whole = medians(contest)["tidewatch/all"]["seconds"]
    for phase in PHASES:
        runs = [run["stages"] for run in contest["runs"][f"tidewatch/{phase}"]]
        for name in runs[0]:
            values = sorted(run.get(name, 0.0) for run in runs)
            seconds = values[len(values) // 2]
            table.add(f"{phase}: {name}", f"{seconds:.2f}", f"{seconds / whole:.0%}")
    return table


def tables_growth(rows: list[Json]) -> Table:
    table = Table("The same rows in more tables", "tables", *_phase_columns(), "CPU s")
    for row in rows:
        table.add(f"{row['tables']:,}", *_phase_seconds(row), f"{row['all']['cpu']:.1f}")
    return table


def files_growth(rows: list[Json]) -> Table:
    table = Table(
        "Files: the first backup, and a second one of unchanged files", "files, backup", *_phase_columns(),
        "CPU s", "peak MiB", "manifest MB", "catalogue MB", "sent to three regions",
    )  # fmt: skip
    for row in rows:
        sent = row["sent"]
        requests = f"{sent['bytes'] / 1e6:.2f} MB in {sent['put'] + sent['upload_part']} requests"
        table.add(
            f"{row['files']:,} of {row['file_bytes']:,} bytes, {row['backup']}",
            *_phase_seconds(row),
            f"{row['all']['cpu']:.1f}",
            f"{row['all']['own_peak_bytes'] / MIB:.0f}",
            f"{row['manifest_bytes'] / 1e6:.2f}",
            f"{row['row_bytes'] / 1e6:.2f}",
            requests,
        )
    return table


def _phase_columns() -> list[str]:
    return [*(f"{phase} s" for phase in PHASES), "all s"]


def _phase_seconds(row: Json) -> list[str]:
    return [f"{row[phase]['seconds']:.2f}" for phase in (*PHASES, "all")]
