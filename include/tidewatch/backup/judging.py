"""Step two of a backup: every region proves its copy, then the gate looks.

Order of statements:

1. every region locks the objects and shows them again     only retention changed; done again without harm
2. what they proved is kept in backup.progress             the next call starts here
3. the gate's result, its quarantine and its ledger record are kept in one transaction
4. a backup that the gate refused is committed at once as `suspect`: kept, readable, not called good
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from tidewatch.backup import gate as backup_gate
from tidewatch.backup import progress
from tidewatch.backup.commit import DONE, commit_locked, never_judged, proved, require_staged
from tidewatch.backup.context import BackupContext
from tidewatch.backup.gate import GateVerdict
from tidewatch.backup.lock import source_lock
from tidewatch.backup.plan import PlannedSource
from tidewatch.backup.verdict import require_a_copy
from tidewatch.core.database import Connection
from tidewatch.evidence import ledger, schemas
from tidewatch.quality.gate import load_gate
from tidewatch.vault import catalogue
from tidewatch.vault.catalogue import Backup
from tidewatch.vault.layout import source_of
from tidewatch.vault.manifest import CopyEntry, Manifest

if TYPE_CHECKING:
    from tidewatch.quality.judgement import Failure, Judgement


def judge(ctx: BackupContext, backup_id: str) -> GateVerdict:
    """Prove the copies of a staged backup and let the gate look at it. Idempotent.

    A refused backup is committed as suspect before this returns; `raise_if_failed` of the result turns it
    into GateFailed. Raises IntegrityError for a backup that failed or was abandoned, RegionUnavailable when
    no region could prove its copy (recorded as failed).
    """
    source = source_of(backup_id)
    planned = ctx.planned(source)
    with source_lock(ctx, source) as conn:
        row = catalogue.get(conn, backup_id)
        if row.status in DONE:
            conn.commit()
            return _judged_before(row)
        require_staged(row)
        so_far = progress.reached(conn, backup_id)
        conn.commit()
        verdict = so_far.gate
        if verdict is None:
            copies = proved(ctx, conn, planned, row, so_far.copies)
            require_a_copy(ctx, conn, planned, row, copies)
            verdict = _run_gate(ctx, conn, planned, row.manifest, copies)
        if not verdict.passed:
            commit_locked(ctx, conn, planned, row)
        return verdict


def _run_gate(
    ctx: BackupContext, conn: Connection, planned: PlannedSource, draft: Manifest, copies: Sequence[CopyEntry]
) -> GateVerdict:
    # pandas: 40 MiB and half a second that the steps before and after do not need.
    from tidewatch.quality.run import Where
    from tidewatch.quality.run import judge as run_gate

    band, now = planned.source.gate, ctx.now()
    history = backup_gate.yardstick(catalogue.history(conn, draft.source, band.history), band)
    looked_at = draft.model_copy(update={"copies": list(copies)})
    batches = backup_gate.frames(
        looked_at,
        history,
        band,
        required={r.name: r.config.required for r in planned.regions},
        now=now,
        allow_empty=planned.source.allow_empty,
    )
    judgement = run_gate(
        load_gate(ctx.settings.config_dir / "gates" / f"{backup_gate.GATE}.yaml"),
        batches,
        where=Where(draft.run.dag_id, draft.run.run_id, draft.backup_id),
        conn=conn,
        now=now,
        gx_dir=ctx.settings.gx_dir,
        docs_dir=ctx.settings.data_docs_dir,
        params=backup_gate.parameters(band),
    )
    verdict = GateVerdict(
        draft.backup_id,
        judgement.passed,
        tuple(str(f) for f in judgement.critical),
        tuple(str(f) for f in judgement.warnings),
        judgement.docs,
    )
    progress.put_gate(conn, verdict)
    body = _gate_record(judgement, draft, now)
    ledger.append(conn, kind=body.KIND, subject=draft.backup_id, body=body, now=now)
    conn.commit()
    ctx.progress(f"{draft.source}: the gate {'let it pass' if verdict.passed else 'refused it'}")
    return verdict


def _gate_record(judgement: "Judgement", draft: Manifest, now: datetime) -> schemas.GateJudged:
    def finding(failure: "Failure") -> schemas.Finding:
        return schemas.Finding(
            expectation=failure.name, batch=failure.batch, observed=failure.observed, limit=failure.limit
        )

    return schemas.GateJudged(
        gate=judgement.gate,
        subject=draft.backup_id,
        dag_id=draft.run.dag_id,
        run_id=draft.run.run_id,
        passed=judgement.passed,
        evaluated=judgement.expectations,
        critical=[finding(f) for f in judgement.critical],
        warnings=[finding(f) for f in judgement.warnings],
        staged=judgement.staged,
        published=judgement.published,
        quarantined=judgement.quarantined,
        judged_at=now,
    )


def _judged_before(row: Backup) -> GateVerdict:
    result = row.manifest.gate
    if result is None:
        raise never_judged(row.backup_id)
    # A person's word stands above the gate's: what was accepted passes when the task is cleared.
    passed = result.passed or row.status == "accepted"
    return GateVerdict(row.backup_id, passed, tuple(result.failures), tuple(result.warnings), None)
