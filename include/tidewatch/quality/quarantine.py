"""Selects the rows that a gate refuses, proves that Great Expectations counted the same, and stores them.

A row goes to quarantine when at least one critical row-level expectation refuses it, once, with all reasons.
This holds also when the gate passes, as it may with `mostly`: staged = published + quarantined, always.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from psycopg import IsolationLevel, sql

from tidewatch.core.database import Connection
from tidewatch.core.errors import IntegrityError
from tidewatch.quality.batch import Batch, SqlBatch
from tidewatch.quality.engine import Finding
from tidewatch.quality.gate import BatchGate
from tidewatch.quality.plain import plain, short, text
from tidewatch.quality.predicates import Mask, bad_rows
from tidewatch.quality.predicates_sql import bad_condition

_SAMPLES = 5


@dataclass(frozen=True)
class Refused:
    """A row in quarantine. `position` counts from 0 in a frame; in a query it only tells rows apart."""

    position: int
    key: dict[str, Any]
    row: dict[str, Any]
    reasons: list[str]


@dataclass(frozen=True)
class Selection:
    """The bad rows of one batch."""

    quarantined: int
    samples: dict[int, list[str]]
    """Per position of a failed expectation, the keys of its first bad rows, for messages."""
    mask: Mask | None
    """Quarantined rows of a frame; None for a query."""
    rows: Callable[[], Iterator[Refused]] = field(repr=False)


def select(name: str, rules: BatchGate, batch: Batch, findings: list[Finding]) -> Selection:
    """The bad rows of `batch`. Raises IntegrityError when Great Expectations counted differently."""
    judged = {i: f for i, f in enumerate(findings) if f.evaluated and f.expectation.kind.level == "row"}
    if isinstance(batch, SqlBatch):
        return _select_sql(name, rules, batch, judged)
    return _select_frame(name, rules, batch, judged)


def reconcile(name: str, findings: dict[int, Finding], counts: dict[int, int]) -> None:
    """Our predicates and Great Expectations agree on every count, or nothing is stored: IntegrityError."""
    wrong = [(i, f, counts[i]) for i, f in findings.items() if f.unexpected != counts[i]]
    if wrong:
        raise IntegrityError(
            f"Batch {name}: the rows selected for quarantine are not those that Great Expectations refused",
            expected="; ".join(
                f"{f.expectation.type} (no. {i + 1}): {f.unexpected} rows" for i, f, _ in wrong
            ),
            found="; ".join(f"{f.expectation.type} (no. {i + 1}): {n} rows" for i, f, n in wrong),
            do="check that the batch does not change while it is judged; if it does not, the predicate in "
            "include/tidewatch/quality/ differs from Great Expectations for these values: report it",
        )


def _select_frame(name: str, rules: BatchGate, frame: pd.DataFrame, judged: dict[int, Finding]) -> Selection:
    masks = {i: bad_rows(frame, f.expectation) for i, f in judged.items()}
    reconcile(name, judged, {i: int(m.sum()) for i, m in masks.items()})
    critical = {i: m for i, m in masks.items() if judged[i].expectation.severity == "critical"}
    refused = np.logical_or.reduce([*critical.values(), np.zeros(len(frame), dtype=np.bool_)])

    def row(position: int) -> dict[str, Any]:
        return {str(c): plain(frame[c].iloc[position]) for c in frame.columns}

    def rows() -> Iterator[Refused]:
        for position in map(int, np.flatnonzero(refused)):
            content = row(position)
            reasons = [judged[i].limit for i, m in critical.items() if m[position]]
            yield Refused(position, _key(content, rules), content, reasons)

    samples = {
        i: [_sample(row(int(p)), rules, judged[i], int(p)) for p in np.flatnonzero(mask)[:_SAMPLES]]
        for i, mask in masks.items()
        if mask.any()
    }
    return Selection(int(refused.sum()), samples, refused, rows)


def _select_sql(name: str, rules: BatchGate, batch: SqlBatch, judged: dict[int, Finding]) -> Selection:
    critical = [i for i, f in judged.items() if f.expectation.severity == "critical"]
    if not judged:
        return Selection(0, {}, None, lambda: iter(()))
    with batch.open() as conn:
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        counted = conn.execute(_count_query(batch, judged, critical)).fetchone() or {}
        reconcile(name, judged, {i: int(counted[f"n{i}"]) for i in judged})
        samples = {
            i: [
                _sample(found["row"], rules, judged[i], found["position"])
                for found in conn.execute(_row_query(batch, judged, [i], limit=_SAMPLES))
            ]
            for i in judged
            if counted[f"n{i}"]
        }

    def rows() -> Iterator[Refused]:
        with batch.open() as conn, conn.cursor(name="quarantine") as cursor:
            for found in cursor.execute(_row_query(batch, judged, critical)):
                reasons = [judged[i].limit for i in critical if found[f"b{i}"]]
                row = plain(found["row"])
                yield Refused(found["position"], _key(row, rules), row, reasons)

    return Selection(int(counted["refused"]), samples, None, rows)


def _flagged(batch: SqlBatch, judged: dict[int, Finding]) -> sql.Composed:
    """Every row of the batch as JSON, with one boolean b<i> for each expectation."""
    flags = [
        sql.SQL("{} AS {}").format(bad_condition(f.expectation), sql.Identifier(f"b{i}"))
        for i, f in judged.items()
    ]
    return sql.SQL("SELECT to_jsonb(batch) AS row, row_number() OVER () - 1 AS position, {} FROM {}").format(
        sql.SQL(", ").join(flags), batch.subquery()
    )


def _any(positions: list[int]) -> sql.Composable:
    flags = [sql.Identifier(f"b{i}") for i in positions]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(flags)) if flags else sql.SQL("false")


def _count_query(batch: SqlBatch, judged: dict[int, Finding], critical: list[int]) -> sql.Composed:
    counts = [
        sql.SQL("count(*) FILTER (WHERE {}) AS {}").format(sql.Identifier(f"b{i}"), sql.Identifier(f"n{i}"))
        for i in judged
    ]
    counts.append(sql.SQL("count(*) FILTER (WHERE {}) AS refused").format(_any(critical)))
    return sql.SQL("SELECT {} FROM ({}) AS flagged").format(
        sql.SQL(", ").join(counts), _flagged(batch, judged)
    )


def _row_query(
    batch: SqlBatch, judged: dict[int, Finding], wanted: list[int], limit: int | None = None
) -> sql.Composed:
    query = sql.SQL("SELECT * FROM ({}) AS flagged WHERE {}").format(_flagged(batch, judged), _any(wanted))
    return query if limit is None else query + sql.SQL(" LIMIT {}").format(sql.Literal(limit))


def _key(row: dict[str, Any], rules: BatchGate) -> dict[str, Any]:
    return {column: row.get(column) for column in rules.key}


def _sample(row: dict[str, Any], rules: BatchGate, finding: Finding, position: int) -> str:
    """`schema.table` of the row's key, and the judged values where the gate allows them to be shown."""
    name = ".".join(text(v) for v in _key(row, rules).values()) or f"row {position + 1}"
    if not rules.show_values:
        return short(name)
    values = ", ".join(f"{c} = {text(row.get(c))}" for c in finding.expectation.columns)
    return short(f"{name} ({values})" if values else name)


def store(conn: Connection, identity: dict[str, str], batch: str, selection: Selection) -> int:
    """Write the quarantined rows in the caller's transaction; returns how many. Raises IntegrityError.

    The rows of a query are read again here: fewer or more than were counted means that the batch changed.
    """
    stored = 0
    columns = "gate, run_id, subject, batch, position, row_key, row, reason"
    with conn.cursor().copy(f"COPY quality.quarantine ({columns}) FROM STDIN") as copy:
        for refused in selection.rows():
            copy.write_row(
                (
                    identity["gate"],
                    identity["run_id"],
                    identity["subject"],
                    batch,
                    refused.position,
                    json.dumps(refused.key, allow_nan=False, ensure_ascii=False),
                    json.dumps(refused.row, allow_nan=False, ensure_ascii=False),
                    "; ".join(refused.reasons),
                )
            )
            stored += 1
    if stored != selection.quarantined:
        raise IntegrityError(
            f"Batch {batch}: the rows in quarantine are not those that were counted",
            expected=f"{selection.quarantined} rows",
            found=f"{stored} rows",
            do="stage the batch where nothing writes to it while it is judged, and run the gate again",
        )
    return stored
