"""Labels out of files: all rows that can be kept, in one transaction, and a reason for each other one."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute, lock_number
from tidewatch.core.errors import ConfigError
from tidewatch.evidence import ledger
from tidewatch.evidence.schemas import LabelsImported
from tidewatch.sentiment.labels.mapping import LabelsFile
from tidewatch.sentiment.labels.posts import Source
from tidewatch.sentiment.labels.reading import Reader, Refusal
from tidewatch.sentiment.labels.rows import Row, read_bytes, read_rows
from tidewatch.sentiment.labels.store import append_labels, require_person


@dataclass(frozen=True)
class ImportReport:
    """What became of a file. `known`: rows that say what was known, doubled ones included. `labels`: accepted
    rows by label. `earlier`: when this file was imported in this way before; nothing was done now, and the
    numbers are those of then, without the single refusals."""

    origin: str
    mapping: str
    encoding: str
    rows: int
    accepted: int
    known: int
    labels: Mapping[str, int]
    reasons: Mapping[str, int]
    refused: tuple[Refusal, ...] = ()
    earlier: datetime | None = None

    def counts(self) -> dict[str, Any]:
        """The numbers, as JSON: nothing in them is of a post."""
        names = ("encoding", "rows", "accepted", "known", "labels", "reasons")
        return {name: getattr(self, name) for name in names}


def import_file(
    conn: Connection,
    path: Path,
    file: LabelsFile,
    *,
    mapping: str,
    by: str,
    now: datetime,
    annotator: str | None = None,
    dry_run: bool = False,
) -> ImportReport:
    """Import one file in a transaction of its own (a savepoint inside one of the caller's).

    `annotator`: who gave the labels, where the file does not say it; `by`: who imports. `dry_run` tells what
    would become of every row and keeps nothing. The same file read in the same way again changes nothing.
    Raises ConfigError (the file is broken, too large, or lacks a column, and nothing of it was imported; or
    nobody is named), NotFound (no such mapping).
    """
    columns = file.mapping(mapping)
    require_person(by)
    named = annotator.strip() if annotator is not None else columns.annotator
    if named is not None:
        require_person(named)
    elif columns.annotator_column is None and columns.kind == "table":
        raise ConfigError(
            "Nobody is named who gave these labels",
            expected=f"an annotator: a column of the mapping {mapping}, one for all rows, or --annotator",
            found="none",
            do="name the person or the agency; how far they agree with others decides how much they count",
        )
    data = read_bytes(path, file.limits)
    rows, encoding = read_rows(path.name, data, columns, file.limits)
    return import_rows(
        conn,
        Reader(file, columns, named, now),
        rows,
        source="label_studio" if columns.kind == "label_studio" else "import",
        origin=f"file:{sha256_hex(data)}",
        mapping=mapping,
        mapping_sha256=file.reading_digest(columns, named),
        encoding=encoding,
        by=by,
        now=now,
        dry_run=dry_run,
    )


def import_rows(
    conn: Connection,
    reader: Reader,
    rows: Iterator[Row],
    *,
    source: Source,
    origin: str,
    mapping: str,
    mapping_sha256: str,
    encoding: str,
    by: str,
    now: datetime,
    dry_run: bool,
) -> ImportReport:
    """The same for rows that come from elsewhere, such as a corpus."""
    moment = require_utc(now)
    with conn.transaction(force_rollback=dry_run):
        conn.execute("select pg_advisory_xact_lock(%s)", (lock_number(f"tidewatch.labels.{origin}"),))
        key = {"origin": origin, "mapping": mapping_sha256}
        if (earlier := execute(conn, "sentiment/labels/import_known", key).fetchone()) is not None:
            return ImportReport(origin, mapping, **earlier["report"], earlier=earlier["imported_at"])
        report = _append(conn, reader, rows, source, origin, mapping, encoding, moment)
        values = {**key, "now": moment, "by": by, "report": Jsonb(report.counts())}
        execute(conn, "sentiment/labels/import_add", values)
        body = LabelsImported(
            origin=origin,
            source=source,
            mapping=mapping,
            mapping_sha256=mapping_sha256,
            rows=report.rows,
            accepted=report.accepted,
            known=report.known,
            refused=dict(report.reasons),
            labels=dict(report.labels),
            imported_by=by,
            imported_at=moment,
        )
        ledger.append(conn, kind=body.KIND, subject=origin, body=body, now=moment)
    return report


def _append(
    conn: Connection,
    reader: Reader,
    rows: Iterator[Row],
    source: Source,
    origin: str,
    mapping: str,
    encoding: str,
    moment: datetime,
) -> ImportReport:
    outcomes = append_labels(conn, reader.given(rows), source=source, origin=origin, now=moment)
    for number, outcome in outcomes.items():
        if outcome not in ("accepted", "known", "repeated"):
            reader.refuse(reader.rows[number], outcome)
    accepted = [reader.labels[n] for n, outcome in outcomes.items() if outcome == "accepted"]
    refused = tuple(sorted(reader.refused, key=lambda r: (r.row, r.reason)))
    return ImportReport(
        origin=origin,
        mapping=mapping,
        encoding=encoding,
        rows=reader.read,
        accepted=len(accepted),
        known=sum(o in ("known", "repeated") for o in outcomes.values()),
        labels=dict(sorted(Counter(accepted).items())),
        reasons=dict(sorted(Counter(r.reason for r in refused).items())),
        refused=refused,
    )
