"""The tables quality.judgements and quality.results. Everything happens in the caller's transaction."""

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from tidewatch.core.database import Connection, execute, statement
from tidewatch.quality.engine import Finding
from tidewatch.quality.judgement import Judgement
from tidewatch.quality.plain import clean, plain


def replace(conn: Connection, judgement: Judgement, now: datetime, params: dict[str, Any]) -> None:
    """Write the judgement; results and quarantine of an earlier one of the same run and subject are removed.

    The row is locked until the caller's transaction ends, so two judges of one run write one after the other.
    """
    key = {"gate": judgement.gate, "run_id": judgement.where.run_id, "subject": judgement.where.subject}
    execute(
        conn,
        "quality/put_judgement",
        key
        | {
            "gate_sha256": judgement.gate_sha256,
            "dag_id": judgement.where.dag_id,
            "judged_at": now,
            "passed": judgement.passed,
            "staged": judgement.staged,
            "published": judgement.published,
            "quarantined": judgement.quarantined,
            "params": Jsonb(plain(params)),
            "docs": judgement.docs,
        },
    )
    execute(conn, "quality/forget_results", key)
    execute(conn, "quality/forget_quarantine", key)


def add_results(
    conn: Connection,
    identity: dict[str, str],
    batch: str,
    findings: list[Finding],
    samples: dict[int, list[str]],
) -> None:
    """One row of quality.results for each expectation of the batch, in the gate's order."""
    rows = [
        {
            **identity,
            "batch": batch,
            "position": position,
            "expectation": finding.expectation.type,
            "columns": list(finding.expectation.columns),
            "severity": finding.expectation.severity,
            "success": finding.success,
            "evaluated": finding.evaluated,
            "expected": clean(finding.limit),
            "observed": clean(finding.observed),
            "unexpected_count": finding.unexpected,
            "element_count": finding.judged,
            "rows": samples.get(position, []),
            "note_zh": finding.expectation.note_zh,
            "note_en": finding.expectation.note_en,
        }
        for position, finding in enumerate(findings)
    ]
    with conn.cursor() as cursor:
        cursor.executemany(statement("quality/add_result"), rows)
