"""What is kept of a restore test: row, record in the ledger, finding and notice, all of them or none."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidewatch.core.clock import iso
from tidewatch.core.database import Connection
from tidewatch.core.errors import IntegrityError, TidewatchError
from tidewatch.evidence import ledger
from tidewatch.evidence.findings import close_finding, open_finding
from tidewatch.evidence.schemas import CheckMade, RestoreTested
from tidewatch.notices import outbox
from tidewatch.restore import messages, results
from tidewatch.restore.checks import Check, first_problem
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.results import Planned, Status
from tidewatch.restore.targets import Targets
from tidewatch.restore.trial import Trial
from tidewatch.vault.manifest import RunRef

FINDING = "restore.failed"
_LONGEST = 2000


class RestoreTestFailed(IntegrityError):
    """A restored copy is not what was backed up, or it took too long."""


@dataclass(frozen=True)
class Outcome:
    """How one test ended. `problem`: the first thing that is not as it must be."""

    test_id: str
    attempt: int
    planned: Planned
    status: Status
    rto_seconds: float | None
    rpo_seconds: float | None
    problem: str | None

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    def raise_if_failed(self) -> None:
        """Raises RestoreTestFailed."""
        if not self.passed:
            raise RestoreTestFailed(
                f"The restore test of {self.planned.label} did not pass ({self.test_id})",
                expected=f"backup {self.planned.backup_id} restored as it was, within its targets",
                found=self.problem or self.status,
                do=f"`tidewatch restores show {self.test_id}` lists every check; repair, then clear this "
                "task: that is a new attempt, and the failed one stays",
            )


@dataclass(frozen=True)
class Recorder:
    """Keeps the end of one test that was begun at `began`."""

    ctx: RestoreContext
    planned: Planned
    run: RunRef
    targets: Targets
    test_id: str
    attempt: int
    began: datetime

    def made(self, trial: Trial) -> Outcome:
        """Keep a test that was made, whether it passed or not."""
        rpo = self._rpo(trial)
        checks = [*trial.checks, *self._measured(trial, rpo)]
        problem = first_problem(checks)
        whole = trial.rto_seconds is not None
        status: Status = "passed" if whole and problem is None else "failed"
        self._keep(trial, checks, status, rpo, str(problem) if problem else None, retryable=False)
        return Outcome(
            self.test_id,
            self.attempt,
            self.planned,
            status,
            trial.rto_seconds,
            rpo,
            str(problem) if problem else None,
        )

    def error(self, error: Exception) -> None:
        """Keep that the test could not be made."""
        known = isinstance(error, TidewatchError)
        # What any other exception says may quote a row.
        text = str(error) if known else f"a defect of Tidewatch: {type(error).__name__}"
        self._keep(
            Trial(),
            [],
            "error",
            None,
            text[:_LONGEST],
            retryable=isinstance(error, TidewatchError) and error.retryable,
        )

    def _rpo(self, trial: Trial) -> float | None:
        """Age of the newest row when the test began. An older backup's age says nothing about a loss."""
        if self.planned.choice != "latest" or trial.newest_row_at is None:
            return None
        return max(0.0, (self.began - trial.newest_row_at).total_seconds())

    def _measured(self, trial: Trial, rpo: float | None) -> list[Check]:
        checks = []
        if trial.rto_seconds is not None:
            checks.append(_within("rto", trial.rto_seconds, self.targets.rto_seconds))
        if rpo is not None:
            checks.append(_within("rpo", rpo, self.targets.rpo_seconds))
        return checks

    def _keep(
        self,
        trial: Trial,
        checks: list[Check],
        status: Status,
        rpo: float | None,
        problem: str | None,
        *,
        retryable: bool,
    ) -> None:
        now = max(self.ctx.now(), self.began)
        document = self._document(trial, checks, status, rpo, problem, now)
        with contextlib.closing(self.ctx.connect()) as conn:
            results.end(
                conn,
                self.test_id,
                status,
                now=now,
                rto_seconds=trial.rto_seconds,
                rpo_seconds=rpo,
                phases=document["rto"]["phases"],
                checks=document["checks"],
                document=document,
                error=problem if status == "error" else None,
            )
            if problem is not None:
                notice = messages.not_passed(
                    self.planned, self.run.run_id, self.test_id, problem, passes_by_itself=retryable
                )
                outbox.post(conn, notice, now)
            body = self._body(trial, checks, status, rpo, problem, now)
            ledger.append(conn, kind=body.KIND, subject=self.test_id, body=body, now=now)
            self._finding(conn, status, problem, now)
            conn.commit()
        self.ctx.progress(
            f"{self.test_id}: {self.planned.label}: {status}" + (f": {problem}" if problem else "")
        )

    def _finding(self, conn: Connection, status: Status, problem: str | None, now: datetime) -> None:
        if status == "passed":
            why = f"a later restore test of {self.planned.label} passed"
            close_finding(conn, self.planned.finding, by=self.test_id, why=why, now=now)
            return
        zh, en = messages.said(self.planned, problem or status)
        open_finding(
            conn,
            key=self.planned.finding,
            kind=FINDING,
            severity="critical",
            source=self.planned.source,
            region=self.planned.region,
            subject=self.test_id,
            said_zh=zh,
            said_en=en,
            detail={
                "backup_id": self.planned.backup_id,
                "choice": self.planned.choice,
                "run_id": self.run.run_id,
                "status": status,
                "problem": (problem or "")[:_LONGEST],
            },
            now=now,
        )

    def _document(
        self,
        trial: Trial,
        checks: list[Check],
        status: Status,
        rpo: float | None,
        problem: str | None,
        now: datetime,
    ) -> dict[str, Any]:
        """The result as it stands in the report: JSON types, seconds to the millisecond."""
        return {
            "test_id": self.test_id,
            "attempt": self.attempt,
            **vars(self.planned),
            "manifest_sha256": trial.manifest_sha256,
            "snapshot_at": trial.snapshot_at and iso(trial.snapshot_at),
            "status": status,
            "started_at": iso(self.began),
            "ended_at": iso(now),
            "rto": {
                "seconds": _round(trial.rto_seconds),
                "target": self.targets.rto_seconds,
                "phases": _rounded(trial.phases),
            },
            "rpo": {
                "seconds": _round(rpo),
                "target": self.targets.rpo_seconds,
                "newest_row_at": trial.newest_row_at and iso(trial.newest_row_at),
                "from": trial.newest_from or "the snapshot",
            },
            "checks": [c.as_dict() for c in checks],
            "remarks": trial.remarks,
            "problem": problem,
        }

    def _body(
        self,
        trial: Trial,
        checks: list[Check],
        status: Status,
        rpo: float | None,
        problem: str | None,
        now: datetime,
    ) -> RestoreTested:
        assert status != "running"  # noqa: S101 - it has ended
        return RestoreTested(
            test_id=self.test_id,
            dag_id=self.run.dag_id,
            run_id=self.run.run_id,
            attempt=self.attempt,
            **vars(self.planned),
            status=status,
            manifest_sha256=trial.manifest_sha256,
            started_at=self.began,
            ended_at=now,
            rto_milliseconds=None if trial.rto_seconds is None else round(trial.rto_seconds * 1000),
            rpo_seconds=None if rpo is None else round(rpo),
            rto_target_seconds=self.targets.rto_seconds,
            rpo_target_seconds=self.targets.rpo_seconds,
            checks=[CheckMade(name=c.name, ok=c.ok) for c in checks],
            problem=problem,
        )


def _within(name: str, seconds: float, target: int) -> Check:
    return Check(
        name, seconds <= target, f"at most {target} s", f"{seconds:.1f} s", "", int(seconds > target)
    )


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _rounded(phases: Mapping[str, float]) -> dict[str, float]:
    return {name: round(seconds, 3) for name, seconds in phases.items()}
