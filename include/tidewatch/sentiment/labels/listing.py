"""Looking at labels, and handing them out as a file."""

import io
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.clock import iso, require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError
from tidewatch.core.files import replace_file
from tidewatch.evidence import ledger
from tidewatch.evidence.schemas import LabelsExported
from tidewatch.sentiment.labels.posts import Label, Source
from tidewatch.sentiment.labels.store import require_person

_COLUMNS = ("text", "label", "annotator", "platform", "native_id", "posted_at", "labelled_at", "source",
            "origin", "asked_for", "blind")  # fmt: skip
_TIMES = ("posted_at", "labelled_at")


@dataclass(frozen=True)
class Filter:
    """Which labels; None: whatever it is."""

    label: Label | None = None
    annotator: str | None = None
    source: Source | None = None
    platform: str | None = None
    native_id: str | None = None


def labels(
    conn: Connection, which: Filter | None = None, *, n: int | None = 50, texts: bool = False
) -> list[dict[str, Any]]:
    """The newest `n` labels (None: all), as they were given. `text` is None unless `texts` asks for it."""
    return execute(
        conn, "sentiment/labels/events", {**vars(which or Filter()), "n": n, "texts": texts}
    ).fetchall()


def totals(conn: Connection) -> dict[str, Any]:
    """How many posts, texts, labels, annotators and deleted posts there are, and `votes`: what the newest
    words say, by label."""
    row = execute(conn, "sentiment/labels/totals").fetchone()
    assert row is not None  # noqa: S101 - a select without from has one row
    return dict(row)


def export(conn: Connection, path: Path, *, by: str, now: datetime, which: Filter | None = None) -> int:
    """Write labels with their texts to a .parquet or .jsonl file (mode 600), the oldest first; how many rows.

    The mapping `tidewatch` of config/labels.yaml reads it again. The ledger has it before the file is there:
    who, how many, the file's SHA-256. Raises ConfigError (another ending, a directory that is not there).
    """
    require_person(by)
    ending = path.suffix.lower()
    if ending not in (".parquet", ".jsonl"):
        # A CSV or Excel file of what strangers wrote is a program for the spreadsheet that opens it.
        raise _cannot(path, "a file that ends in .parquet or .jsonl", ending or "no ending")
    if not path.parent.is_dir():
        raise _cannot(path, "a directory that is there", "none")
    rows = [{c: r[c] for c in _COLUMNS} for r in reversed(labels(conn, which, n=None, texts=True))]
    data = _parquet(rows) if ending == ".parquet" else _lines(rows)
    with conn.transaction():
        body = LabelsExported(
            exported_by=by, rows=len(rows), file_sha256=sha256_hex(data), exported_at=require_utc(now)
        )
        ledger.append(conn, kind=body.KIND, subject="labels", body=body, now=now)
    replace_file(path, data)
    return len(rows)


def _lines(rows: list[dict[str, Any]]) -> bytes:
    def plain(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, **{t: None if row[t] is None else iso(row[t]) for t in _TIMES}}

    return "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    moment = pa.timestamp("us", tz="UTC")
    kinds = {**dict.fromkeys(_COLUMNS, pa.string()), **dict.fromkeys(_TIMES, moment), "blind": pa.bool_()}
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items()))), sink, compression="zstd"
    )
    return sink.getvalue()


def _cannot(path: Path, expected: str, found: str) -> ConfigError:
    return ConfigError(
        f"Labels cannot be written to {path.name}", expected=expected, found=found, do="choose another name"
    )
