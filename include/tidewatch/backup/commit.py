"""Step three of a backup: the manifest in every region that proved its copy, then the verdict.

Order of statements:

1. a region that had not proved its copy gets another chance
2. what the backup is kept as is found out and kept, and its objects are locked for as long
3. the manifest is signed and its bytes are kept in backup.progress, before any region has them
4. manifest.json is created in every verified region, only if absent, locked and read back
5. catalogue, copies, notice and ledger in one transaction

Killed after 3 or in 4, the next call sends the same bytes again: where they lie already the region says so,
and reading them back decides. So all regions end with one manifest, byte for byte. No manifest is written
before all its objects were read back in that region, so none ever names an object that is not there.
"""

from collections.abc import Sequence
from datetime import datetime

from tidewatch.backup import progress
from tidewatch.backup.context import BackupContext
from tidewatch.backup.gate import GateVerdict
from tidewatch.backup.lock import source_lock
from tidewatch.backup.plan import PlannedSource
from tidewatch.backup.probe import learn
from tidewatch.backup.prove import Task, in_parallel, lock, prove, retain_until, strong_enough
from tidewatch.backup.retention.birth import kept_until, lock_for_generations
from tidewatch.backup.verdict import Outcome, outcome_of, record, require_a_copy
from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection
from tidewatch.core.errors import IntegrityError, RegionUnavailable, TidewatchError
from tidewatch.core.regions import Region
from tidewatch.core.writeonce import write_once
from tidewatch.evidence import anchor, ledger
from tidewatch.vault import catalogue
from tidewatch.vault.catalogue import Backup, Copy
from tidewatch.vault.layout import BackupPath, source_of
from tidewatch.vault.manifest import CopyEntry, Manifest, open_manifest, open_recorded, sign

DONE = ("sealed", "degraded", "suspect", "accepted", "rejected")
"""Statuses of a committed backup."""


def commit(ctx: BackupContext, backup_id: str) -> Outcome:
    """Write the manifest of a judged backup and record its verdict. Idempotent.

    Raises RegionUnavailable when no region has a verified copy: after recording when the copies are at fault,
    without a final verdict (so that trying again helps) when no region took the manifest. Raises
    IntegrityError for a backup that was never judged, failed or was abandoned.
    """
    source = source_of(backup_id)
    planned = ctx.planned(source)
    with source_lock(ctx, source) as conn:
        row = catalogue.get(conn, backup_id)
        if row.status not in DONE:
            require_staged(row)
            commit_locked(ctx, conn, planned, row)
            row = catalogue.get(conn, backup_id)
        outcome = outcome_of(conn, row)
        conn.commit()
        return outcome


def commit_locked(ctx: BackupContext, conn: Connection, planned: PlannedSource, row: Backup) -> None:
    so_far = progress.reached(conn, row.backup_id)
    learn(ctx, conn)
    conn.commit()
    if so_far.gate is None:
        raise never_judged(row.backup_id)
    signed = so_far.manifest
    if signed is None:
        copies = proved(ctx, conn, planned, row, so_far.copies)
        require_a_copy(ctx, conn, planned, row, copies)
        copies = lock_for_generations(ctx, conn, row, copies, passed=so_far.gate.passed)
        signed = sign(_final(ctx, conn, planned, row.manifest, copies, so_far.gate), ctx.signing_key)
        manifest = open_manifest(signed, ctx.signing_key.public)  # what nobody could open must not be sent
        progress.put_manifest(conn, row.backup_id, signed)
        conn.commit()
        ctx.progress(f"{row.source}: the manifest is signed")
    else:
        manifest = open_recorded(signed, ctx.ring)
    placed = _place(ctx, planned, manifest, signed, kept_until(conn, row.backup_id))
    if not any(copy.state == "verified" for copy in placed.values()):
        raise RegionUnavailable(
            f"No region took the manifest of {row.backup_id}",
            expected="at least one region that stores it",
            found="; ".join(f"{region}: {copy.error}" for region, copy in placed.items()),
            do="run the task again when a region answers; the objects are verified and stay where they are",
        )
    record(ctx, conn, planned, manifest, signed, placed)
    ctx.progress(f"{row.source}: recorded")


def proved(
    ctx: BackupContext,
    conn: Connection,
    planned: PlannedSource,
    row: Backup,
    before: Sequence[CopyEntry] | None,
) -> list[CopyEntry]:
    """Every region's copy, those of `before` that are verified kept, all others tried (again)."""
    draft = row.manifest
    done = {c.region: c for c in before or [] if c.state == "verified"}
    rows = catalogue.copies(conn, row.backup_id)
    learn(ctx, conn)
    conn.commit()
    versions = {(c.region, c.object_key): c.version_id for c in rows if c.state in ("uploaded", "verified")}
    dropped = {c.region: c.error or "not uploaded" for c in rows if c.state == "failed"}
    base, now = draft.ended_at or draft.started_at, ctx.now()
    tasks = [
        Task(
            region,
            draft.objects,
            draft.backup_id,
            retain_until(region, base, now),
            {key: version for (name, key), version in versions.items() if name == region.name},
            not_before=base,
        )
        for region in planned.regions
        if region.name not in done and region.name not in dropped
    ]
    fresh = {entry.region: entry for entry in prove(ctx, tasks)}
    copies = [
        done.get(r.name)
        or fresh.get(r.name)
        or CopyEntry(
            region=r.name,
            provider=r.config.provider,
            bucket=r.config.bucket,
            state="failed",
            error=dropped.get(r.name, "not tried"),
        )
        for r in planned.regions
    ]
    progress.put_copies(conn, row.backup_id, copies)
    conn.commit()
    ctx.progress(f"{row.source}: proved")
    return copies


def _final(
    ctx: BackupContext,
    conn: Connection,
    planned: PlannedSource,
    draft: Manifest,
    copies: Sequence[CopyEntry],
    gate: GateVerdict,
) -> Manifest:
    verified = {c.region for c in copies if c.state == "verified"}
    verdict = "suspect" if not gate.passed else "sealed" if set(planned.required) <= verified else "degraded"
    now = max(ctx.now(), draft.ended_at or draft.started_at)  # a clock may be set back; signed is signed
    head = anchor.sign_head(ledger.head(conn), ctx.signing_key, now)
    return Manifest.model_validate(
        {
            **dict(draft),
            "copies": list(copies),
            "gate": gate.result,
            "verdict": verdict,
            "ended_at": now,
            "ledger_head": head.model_dump(mode="json"),
        }
    )


def _place(
    ctx: BackupContext,
    planned: PlannedSource,
    manifest: Manifest,
    signed: bytes,
    keep_until: datetime | None,
) -> dict[str, Copy]:
    """manifest.json in every region whose copy is verified; region -> the catalogue's row of it."""
    verified = {c.region for c in manifest.copies if c.state == "verified"}
    regions = [r for r in planned.regions if r.name in verified]
    base, now = manifest.ended_at or manifest.started_at, ctx.now()
    untils = {r.name: retain_until(r, base, now, keep_until) for r in regions}
    tasks = [Task(r, [], manifest.backup_id, untils[r.name], {}) for r in regions]
    rows = in_parallel(lambda task: place_manifest(ctx, task.region, manifest, signed, task.until), tasks)
    return {row.region: row for row in rows}


def place_manifest(
    ctx: BackupContext, region: Region, manifest: Manifest, signed: bytes, until: datetime
) -> Copy:
    """`store_manifest` that never raises for what the region does: the row says it."""
    try:
        return store_manifest(ctx, region, manifest, signed, until)
    except TidewatchError as error:
        key = BackupPath(region.config.prefix, manifest.source, manifest.backup_id).manifest_key
        problem = f"{error.what} ({error.found})"[:1000]
        return Copy(manifest.backup_id, region.name, key, "failed", error=problem)


def store_manifest(
    ctx: BackupContext, region: Region, manifest: Manifest, signed: bytes, until: datetime
) -> Copy:
    """Have manifest.json there once, lock it, read it back.

    What is read is what a reader finds without knowing a version: a manifest that another version or a delete
    marker hides is none. Raises AlreadyExists when another manifest lies there, and RegionError.
    """
    key = BackupPath(region.config.prefix, manifest.source, manifest.backup_id).manifest_key
    wanted = sha256_hex(signed)
    version = write_once(region.store, key, signed)
    lock(region, key, region.store.head(key, version), until)
    head = region.store.head(key)
    found, size = region.store.digest(key, head.version_id)
    ctx.progress(f"{manifest.source}: the manifest is stored in {region.name}")
    problem = None
    if found != wanted:
        problem = f"manifest: expected SHA-256 {wanted}, found {found}"
    elif head.retain_until is None or head.retain_until < until.replace(microsecond=0):
        problem = f"manifest: expected a lock until {until.isoformat()}, found {head.retain_until or 'none'}"
    elif not strong_enough(head.lock_mode, region.config.lock_mode):
        problem = f"manifest: expected lock mode {region.config.lock_mode}, found {head.lock_mode or 'none'}"
    return Copy(
        manifest.backup_id,
        region.name,
        key,
        "failed" if problem else "verified",
        version_id=head.version_id,
        sha256=found,
        size=size,
        lock_mode=head.lock_mode,
        retain_until=head.retain_until,
        read_back_at=ctx.now(),
        error=problem,
    )


def require_staged(row: Backup) -> None:
    if row.status != "staged":
        raise IntegrityError(
            f"Backup {row.backup_id} cannot be judged or committed",
            expected="status staged",
            found=f"status {row.status}" + (f": {row.error}" if row.error else ""),
            do="run back_up_sources again; it makes a new attempt",
        )


def never_judged(backup_id: str) -> IntegrityError:
    return IntegrityError(
        f"Backup {backup_id} was never judged",
        expected="a result of the gate",
        found="none",
        do="run the gate task (backup.run.judge) first",
    )
