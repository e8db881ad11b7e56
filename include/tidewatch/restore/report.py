"""The report of one run of restore tests: one JSON text whose SHA-256 a person signs.

It holds every attempt, also those that a later one repaired, with each check, what was measured, and the
targets in force. RFC 8785, so that the same facts always give the same bytes.
"""

import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidewatch.core.canonical import canonical_bytes, sha256_hex
from tidewatch.core.clock import iso
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError, NotFound, TidewatchError
from tidewatch.evidence import ledger
from tidewatch.evidence.findings import open_findings
from tidewatch.evidence.schemas import RestoreReported
from tidewatch.notices import outbox
from tidewatch.restore import messages, results
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.drill import Selection
from tidewatch.restore.gate import UNTESTED, last_attempts
from tidewatch.restore.recording import FINDING
from tidewatch.restore.results import Row
from tidewatch.vault.manifest import RunRef

VERSION = 1


@dataclass(frozen=True)
class Report:
    """A report as restore.reports has it, with what a person said to it."""

    run_id: str
    dag_id: str
    made_at: datetime
    started_by: str | None
    passed: bool
    tests: int
    failed: int
    document: str
    sha256: str
    decision: str | None = None
    signed_by: str | None = None
    note: str | None = None
    via: str | None = None
    report_sha256: str | None = None
    signed_at: datetime | None = None
    ledger_seq: int | None = None

    @property
    def content(self) -> dict[str, Any]:
        """The document as JSON values."""
        value: dict[str, Any] = json.loads(self.document)
        return value


class AlreadySigned(TidewatchError):
    """A person has answered for a report; it stays as it was."""


def make_report(ctx: RestoreContext, run: RunRef, selection: Selection, *, started_by: str | None) -> Report:
    """Make the report of a run and tell that it waits to be signed. Made again, it replaces the one before,
    unless somebody has signed or refused that: then AlreadySigned is raised when it would differ. Raises
    ConfigError for the report of a run that somebody else started.

    `started_by`: the person who started the run; None: the schedule.
    """
    now = ctx.now()
    with contextlib.closing(ctx.connect()) as conn:
        # Before anything is read: who signs the report meanwhile is waited for, and then seen.
        execute(conn, "restore/lock_report", {"run_id": run.run_id})
        results.require_own(conn, run.run_id, run.dag_id)
        rows = results.of_run(conn, run.run_id)
        known = _find(conn, run.run_id)
        if known is not None and known.started_by != started_by:
            raise ConfigError(
                f"Run {run.run_id} was started by {known.started_by or 'the schedule'}",
                expected="the same person, who then may not sign the report",
                found=started_by or "the schedule",
                do="start a run of your own",
            )
        same = known is not None and _same(known, rows)
        if known is not None and same and known.decision in ("signed", "refused"):
            return known
        made_at = known.made_at if known is not None and same else now
        document = _document(ctx, conn, run, selection, rows, made_at, started_by)
        text = canonical_bytes(document)
        sha256 = sha256_hex(text)
        if known is not None and known.sha256 == sha256:
            return known
        values = {
            "run_id": run.run_id,
            "dag_id": run.dag_id,
            "made_at": made_at,
            "started_by": started_by,
            "passed": document["passed"],
            "tests": document["tests"],
            "failed": document["failed"],
            "document": text.decode(),
            "sha256": sha256,
        }
        if execute(conn, "restore/put_report", values).fetchone() is None:
            raise AlreadySigned(
                f"The report of run {run.run_id} was signed or refused before these tests were made",
                expected="a report that still waits for a person",
                found="one that a person has answered for",
                do="start a new run: what was signed is not changed",
            )
        outbox.post(
            conn,
            messages.to_sign(run.run_id, document["passed"], document["tests"], document["failed"], sha256),
            now,
        )
        body = RestoreReported(
            dag_id=run.dag_id,
            run_id=run.run_id,
            report_sha256=sha256,
            passed=document["passed"],
            tests=document["tests"],
            failed=document["failed"],
            started_by=started_by,
            made_at=made_at,
        )
        ledger.append(conn, kind=body.KIND, subject=run.run_id, body=body, now=now)
        conn.commit()
        return get_report(conn, run.run_id)


def get_report(conn: Connection, run_id: str) -> Report:
    """Raises NotFound."""
    found = _find(conn, run_id)
    if found is None:
        raise NotFound(
            f"There is no report of run {run_id}",
            expected="a run of restore tests that has come to its report",
            found="none in restore.reports",
            do="`tidewatch restores list --runs` shows the reports; one is made when the tests have ended",
        )
    return found


def reports(conn: Connection, *, n: int = 50) -> list[Report]:
    """The newest reports."""
    return [Report(**row) for row in execute(conn, "restore/report", {"run_id": None, "n": n})]


def _find(conn: Connection, run_id: str) -> Report | None:
    row = execute(conn, "restore/report", {"run_id": run_id, "n": 1}).fetchone()
    return Report(**row) if row else None


def _same(known: Report, rows: list[Row]) -> bool:
    """Whether the report before was made of the same attempts."""
    return [r["test_id"] for r in known.content["results"]] == [r.test_id for r in rows]


def _document(
    ctx: RestoreContext,
    conn: Connection,
    run: RunRef,
    selection: Selection,
    rows: list[Row],
    made_at: datetime,
    started_by: str | None,
) -> dict[str, Any]:
    pairs = selection.pairs(ctx)
    judged = execute(conn, "restore/judged", {"run_id": run.run_id}).fetchone()
    last = last_attempts(rows)
    tested = {(r.source, r.region) for r in last if r.choice == "latest" and r.status in ("passed", "failed")}
    passed = (
        judged is not None
        and judged["passed"]
        and bool(last)
        and all(r.status == "passed" for r in last)
        and tested >= set(pairs)
    )
    findings = [f for kind in (FINDING, UNTESTED) for f in open_findings(conn, kind=kind)]
    return {
        "report": "tidewatch restore tests",
        "version": VERSION,
        "run": {"dag_id": run.dag_id, "run_id": run.run_id, "started_by": started_by},
        "made_at": iso(made_at),
        "policy": {"id": ctx.regions_file.policy_id, "version": ctx.regions_file.policy_version},
        "passed": passed,
        "tests": len(rows),
        "failed": sum(r.status != "passed" for r in rows),
        "coverage": [
            {"source": source, "region": region, "tested": (source, region) in tested}
            for source, region in pairs
        ],
        "gate": None
        if judged is None
        else {
            "passed": judged["passed"],
            "sha256": judged["gate_sha256"],
            "judged_at": iso(judged["judged_at"]),
            "failures": judged["failures"],
        },
        "results": [_result(row) for row in rows],
        "open_findings": [
            {"key": f.key, "opened_at": iso(f.opened_at), "times_seen": f.times_seen, "said": f.said_en}
            for f in findings
        ],
    }


def _result(row: Row) -> dict[str, Any]:
    """One attempt. One whose process died has no document of its own."""
    if row.document is not None:
        return dict(row.document)
    return {
        "test_id": row.test_id,
        "attempt": row.attempt,
        **vars(row.planned),
        "status": row.status,
        "started_at": iso(row.started_at),
        "ended_at": row.ended_at and iso(row.ended_at),
        "problem": row.error,
    }
