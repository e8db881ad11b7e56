"""The gate over one run of restore tests: three small tables, one question each.

    coverage  one row a source and region that the run should have tested
    tests     one row a source, region and choice: its last attempt
    checks    one row a check of these

config/gates/restore.yaml says what must hold; docs/gates.md how to change it.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tidewatch.core.database import Connection
from tidewatch.core.errors import GateFailed
from tidewatch.evidence import ledger, schemas
from tidewatch.evidence.findings import close_finding, open_finding
from tidewatch.notices import outbox
from tidewatch.quality.gate import load_gate
from tidewatch.restore import messages, results
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.drill import Selection, end_dead
from tidewatch.restore.results import Row
from tidewatch.vault.manifest import RunRef

if TYPE_CHECKING:
    import pandas as pd

    from tidewatch.quality.judgement import Failure, Judgement

GATE = "restore"
UNTESTED = "restore.untested"
_NUMBERS = ("rto_seconds", "rto_ratio", "rpo_seconds", "rpo_ratio")
_TESTS = [
    "test_id", "source", "region", "choice", "backup_id", "status", "passed", "failed_attempts", *_NUMBERS
]  # fmt: skip


@dataclass(frozen=True)
class GateVerdict:
    """What the gate said of a run; `docs` is the page to look at, `untested` the pairs without a test."""

    run_id: str
    passed: bool
    failures: tuple[str, ...]
    warnings: tuple[str, ...]
    untested: tuple[tuple[str, str], ...]
    docs: str | None

    def raise_if_failed(self) -> None:
        """Raises GateFailed naming what did not hold."""
        if self.passed:
            return
        more = len(self.failures) - 5
        raise GateFailed(
            f"The gate refused the restore tests of {self.run_id}",
            expected="every critical expectation of config/gates/restore.yaml",
            found="; ".join(self.failures[:5]) + (f"; and {more} more" if more > 0 else ""),
            do=(f"open {self.docs}, or " if self.docs else "")
            + "`tidewatch restores list`; the findings stay open until a later test passes",
        )


def last_attempts(rows: Sequence[Row]) -> list[Row]:
    """The last attempt of each test of a run, in the order in which the tests were first begun."""
    last: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        last[row.source, row.region, row.choice] = row
    return list(last.values())


def judge_run(ctx: RestoreContext, run: RunRef, selection: Selection) -> GateVerdict:
    """Judge the tests of a run, keep the judgement, and tell of what was not tested. Idempotent: judging
    again replaces the judgement; `raise_if_failed` of the result turns it into GateFailed."""
    # pandas and Great Expectations: seconds that the tests themselves do not need.
    from tidewatch.quality.run import Where
    from tidewatch.quality.run import judge as run_gate

    now, pairs = ctx.now(), selection.pairs(ctx)
    with contextlib.closing(ctx.connect()) as conn:
        results.require_own(conn, run.run_id, run.dag_id)
        end_dead(conn, now)
        conn.commit()
        rows = results.of_run(conn, run.run_id)
        judgement = run_gate(
            load_gate(ctx.settings.config_dir / "gates" / f"{GATE}.yaml"),
            frames(rows, pairs),
            where=Where(run.dag_id, run.run_id, run.run_id),
            conn=conn,
            now=now,
            gx_dir=ctx.settings.gx_dir,
            docs_dir=ctx.settings.data_docs_dir,
        )
        untested = [pair for pair in pairs if pair not in _tested(rows)]
        if untested:
            outbox.post(conn, messages.untested(run.run_id, [f"{s} / {r}" for s, r in untested]), now)
        body = _record(judgement, run, now)
        ledger.append(conn, kind=body.KIND, subject=run.run_id, body=body, now=now)
        _findings(conn, pairs, untested, run, now)
        conn.commit()
    return GateVerdict(
        run.run_id,
        judgement.passed,
        tuple(map(str, judgement.critical)),
        tuple(map(str, judgement.warnings)),
        tuple(untested),
        judgement.docs,
    )


def frames(rows: Sequence[Row], pairs: Sequence[tuple[str, str]]) -> "dict[str, pd.DataFrame]":
    """The batches of a run: its attempts, and the (source, region) that it should have tested."""
    import pandas as pd

    tested, last = _tested(rows), last_attempts(rows)
    coverage = pd.DataFrame(
        [(source, region, (source, region) in tested) for source, region in pairs],
        columns=["source", "region", "tested"],
    ).astype({"tested": bool})
    tests = pd.DataFrame([_test(row, rows) for row in last], columns=_TESTS)
    tests = tests.astype({"passed": bool} | dict.fromkeys(_NUMBERS, float))
    checks = pd.DataFrame(
        [
            (row.source, row.region, row.choice, c["name"], c["ok"], c["expected"], c["found"], c["where"])
            for row in last
            for c in row.checks
        ],
        columns=["source", "region", "choice", "check", "ok", "expected", "found", "where"],
    ).astype({"ok": bool})
    return {"coverage": coverage, "tests": tests, "checks": checks}


def _tested(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """What was restored to an end from its newest backup, well or not."""
    return {
        (r.source, r.region)
        for r in last_attempts(rows)
        if r.choice == "latest" and r.status in ("passed", "failed")
    }


def _test(row: Row, rows: Sequence[Row]) -> tuple[Any, ...]:
    earlier = [
        r
        for r in rows
        if (r.source, r.region, r.choice) == (row.source, row.region, row.choice) and r is not row
    ]
    return (
        row.test_id,
        row.source,
        row.region,
        row.choice,
        row.backup_id,
        row.status,
        row.status == "passed",
        sum(r.status != "passed" for r in earlier),
        row.rto_seconds,
        _ratio(row.rto_seconds, row.rto_target),
        row.rpo_seconds,
        _ratio(row.rpo_seconds, row.rpo_target),
    )


def _ratio(seconds: float | None, target: float | None) -> float | None:
    return seconds / target if seconds is not None and target else None


def _findings(
    conn: Connection,
    pairs: Sequence[tuple[str, str]],
    untested: Sequence[tuple[str, str]],
    run: RunRef,
    now: datetime,
) -> None:
    for source, region in pairs:
        key = f"{UNTESTED}/{source}/{region}"
        if (source, region) not in untested:
            why = f"run {run.run_id} restored the newest backup from there"
            close_finding(conn, key, by=run.run_id, why=why, now=now)
            continue
        open_finding(
            conn,
            key=key,
            kind=UNTESTED,
            severity="critical",
            source=source,
            region=region,
            subject=run.run_id,
            said_zh=f"运行 {run.run_id} 没有从 {region} 恢复 {source} 的最新备份",
            said_en=f"Run {run.run_id} did not restore the newest backup of {source} from {region}",
            detail={"run_id": run.run_id},
            now=now,
        )


def _record(judgement: "Judgement", run: RunRef, now: datetime) -> schemas.GateJudged:
    def finding(failure: "Failure") -> schemas.Finding:
        return schemas.Finding(
            expectation=failure.name, batch=failure.batch, observed=failure.observed, limit=failure.limit
        )

    return schemas.GateJudged(
        gate=judgement.gate,
        subject=run.run_id,
        dag_id=run.dag_id,
        run_id=run.run_id,
        passed=judgement.passed,
        evaluated=judgement.expectations,
        critical=[finding(f) for f in judgement.critical],
        warnings=[finding(f) for f in judgement.warnings],
        staged=judgement.staged,
        published=judgement.published,
        quarantined=judgement.quarantined,
        judged_at=now,
    )
