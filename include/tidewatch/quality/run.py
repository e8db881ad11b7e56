"""Judges staged batches by a gate: Great Expectations, quarantine, database, data docs."""

import logging
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection
from tidewatch.quality import docs, records
from tidewatch.quality.batch import Batch, Shape, SqlBatch, check_columns, check_names, encodable, shape
from tidewatch.quality.engine import Finding, Findings
from tidewatch.quality.engine import run as run_expectations
from tidewatch.quality.gate import Gate, load_gate
from tidewatch.quality.judgement import Failure, Judgement, Where
from tidewatch.quality.quarantine import Selection, select, store

__all__ = ["Failure", "Gate", "Judgement", "SqlBatch", "Where", "judge", "load_gate"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgedBatch:
    """One batch after all expectations have run."""

    name: str
    shape: Shape
    findings: Findings
    selection: Selection


def judge(
    gate: Gate,
    batches: Mapping[str, Batch],
    *,
    where: Where,
    conn: Connection,
    now: datetime,
    gx_dir: Path | None,
    docs_dir: Path | None,
    params: Mapping[str, Any] | None = None,
    keep_pages: int = docs.KEEP_PAGES,
) -> Judgement:
    """Judge `batches` (one for each batch of the gate) and record the outcome.

    `params` give `$NAME` in the gate their values. Results and refused rows are written through `conn` in
    the caller's transaction: commit it also when the gate failed. Judging the same (gate, run_id, subject)
    again replaces what was recorded. `docs_dir` gets a page and an index, `gx_dir` Great Expectations' own
    result as JSON; both keep the newest `keep_pages` judgements, the database keeps all. None: no files.

    Raises ConfigError (gate, parameters, columns or batches do not fit), IntegrityError (the quarantine does
    not agree with Great Expectations). A failed gate is a Judgement, not an exception: see `raise_if_failed`.
    """
    moment = require_utc(now)
    check_names(gate, batches)
    ready = gate.resolved(params or {})
    judged = [_judge_batch(ready, name, batches[name], moment) for name in ready.batches]
    judgement = _conclude(ready, gate.sha256, judged, where)
    page = _write_docs(ready, judgement, judged, moment, gx_dir, docs_dir, keep_pages)
    judgement = Judgement(**{**vars(judgement), "docs": page})
    _record(conn, judgement, judged, moment, dict(params or {}))
    return judgement


def _judge_batch(gate: Gate, name: str, batch: Batch, now: datetime) -> JudgedBatch:
    rules, form = gate.batches[name], shape(batch)
    check_columns(gate, name, rules, form.columns)
    if isinstance(batch, pd.DataFrame):
        # Great Expectations and our predicates must mean the same row by the same number.
        batch = encodable(batch.reset_index(drop=True))
    findings = run_expectations(f"{gate.gate}.{name}", rules, batch, form.columns, now)
    return JudgedBatch(name, form, findings, select(name, rules, batch, findings.findings))


def _conclude(gate: Gate, sha256: str, judged: list[JudgedBatch], where: Where) -> Judgement:
    failures = [_failure(b, i, f) for b in judged for i, f in enumerate(b.findings.findings) if not f.success]
    critical = [f for f in failures if f.severity == "critical"]
    staged = sum(b.shape.rows for b in judged)
    quarantined = sum(b.selection.quarantined for b in judged)
    return Judgement(
        gate=gate.gate,
        gate_sha256=sha256,
        where=where,
        passed=not critical,
        critical=critical,
        warnings=[f for f in failures if f.severity == "warning"],
        expectations=sum(len(b.findings.findings) for b in judged),
        staged=staged,
        published=staged - quarantined,
        quarantined=quarantined,
        docs=None,
        refused={b.name: b.selection.mask for b in judged if b.selection.mask is not None},
    )


def _failure(batch: JudgedBatch, position: int, finding: Finding) -> Failure:
    expectation = finding.expectation
    return Failure(
        batch=batch.name,
        expectation=expectation.type,
        column=", ".join(expectation.columns) or None,
        # What could not be judged is not known to be good, however mild its failure would be.
        severity=expectation.severity if finding.evaluated else "critical",
        limit=finding.limit,
        observed=finding.observed,
        rows=tuple(batch.selection.samples.get(position, ())),
        note_zh=expectation.note_zh,
        note_en=expectation.note_en,
    )


def _record(
    conn: Connection, judgement: Judgement, judged: list[JudgedBatch], now: datetime, params: dict[str, Any]
) -> None:
    records.replace(conn, judgement, now, params)
    identity = {
        "gate": judgement.gate,
        "run_id": judgement.where.run_id,
        "subject": judgement.where.subject,
    }
    for batch in judged:
        records.add_results(conn, identity, batch.name, batch.findings.findings, batch.selection.samples)
        store(conn, identity, batch.name, batch.selection)


def _write_docs(
    gate: Gate,
    judgement: Judgement,
    judged: list[JudgedBatch],
    now: datetime,
    gx_dir: Path | None,
    docs_dir: Path | None,
    keep: int,
) -> str | None:
    page: str | None = None
    if docs_dir is not None:
        with _told_if_unwritable(docs_dir):
            content = docs.Content(
                gate,
                judgement,
                now,
                [(b.name, b.shape.rows, b.findings.findings, b.selection) for b in judged],
            )
            page = str(docs.write_page(docs_dir, content, keep))
    if gx_dir is not None:
        with _told_if_unwritable(gx_dir):
            docs.write_raw(gx_dir, judgement, {b.name: b.findings.raw for b in judged}, keep)
    return page


@contextmanager
def _told_if_unwritable(directory: Any) -> Any:
    """Pages are a view of what the database holds: a full disk there must not stop a backup."""
    try:
        yield
    except (OSError, TimeoutError) as error:
        _log.warning("data docs: %s cannot be written (%s); results are in the database", directory, error)
