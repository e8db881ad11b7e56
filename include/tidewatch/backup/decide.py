"""A person's word on a suspect backup: signed, kept beside the manifest in every region, never undone."""

import contextlib
from datetime import datetime
from typing import Any

from tidewatch.backup.context import BackupContext
from tidewatch.backup.lock import backup_lock
from tidewatch.backup.probe import learn
from tidewatch.backup.prove import Task, in_parallel, lock, retain_until
from tidewatch.core.canonical import sha256_hex
from tidewatch.core.clock import iso
from tidewatch.core.errors import (
    AlreadyExists,
    ConfigError,
    IntegrityError,
    RegionUnavailable,
    TidewatchError,
)
from tidewatch.core.regions import Region
from tidewatch.core.writeonce import write_once
from tidewatch.evidence import ledger, schemas
from tidewatch.vault import catalogue
from tidewatch.vault.catalogue import Backup
from tidewatch.vault.genuine import DECISION
from tidewatch.vault.layout import BackupPath
from tidewatch.vault.signed import open_signed, sign_document


def decide(ctx: BackupContext, backup_id: str, *, accept: bool, by: str, reason: str) -> None:
    """Accept or reject a suspect backup. The same word again is harmless; another one is refused.

    Order: decision.json, created only if absent, in every region that holds the manifest; then catalogue and
    ledger in one transaction. Killed in between, the same call finishes. Raises ConfigError (nobody, or no
    reason), IntegrityError (not suspect, or decided otherwise), RegionUnavailable (no region keeps it).
    """
    by, reason = by.strip(), reason.strip()
    if not by or not reason:
        raise ConfigError(
            f"A decision on {backup_id} needs a person and a reason",
            expected="who decides, and why",
            found="no " + ("person" if not by else "reason"),
            do="give both: --by NAME --reason TEXT",
        )
    with backup_lock(ctx, backup_id) as conn:
        learn(ctx, conn)
        row = catalogue.get(conn, backup_id)
        copies = catalogue.copies(conn, backup_id)
        conn.commit()
        word = "accept" if accept else "reject"
        if row.status != "suspect" or row.expired_at is not None:
            _require_same(row, word, by, reason)
            return
        held = {c.region for c in copies} - {c.region for c in copies if c.state != "verified"}
        now = ctx.now()
        written = _write(
            ctx,
            row,
            [r for r in ctx.regions if r.name in held],
            {
                "about": backup_id,
                "decision": word,
                "decided_by": by,
                "reason": reason,
                "decided_at": iso(now),
                "manifest_sha256": row.manifest_sha256,
            },
        )
        body = schemas.DecisionMade.model_validate(
            {
                "about": backup_id,
                "decision": word,
                "decided_by": by,
                "reason": reason,
                "previous_verdict": "suspect",
                "decided_at": written,
            }
        )
        catalogue.decide(conn, backup_id, accept=accept, by=by, reason=reason, now=now)
        ledger.append(conn, kind=body.KIND, subject=backup_id, body=body, now=now)
        conn.commit()


def _require_same(row: Backup, word: str, by: str, reason: str) -> None:
    said = {"accepted": "accept", "rejected": "reject"}.get(row.status)
    if said == word and row.decided_by == by and row.decision_reason == reason:
        return
    found = f"status {row.status}" + (f", decided by {row.decided_by}" if row.decided_by else "")
    found += ", and it is expired" if row.expired_at else ""
    raise IntegrityError(
        f"There is nothing to decide on {row.backup_id}",
        expected="a suspect backup",
        found=found,
        do="a decision is made once; if it was wrong, run a new backup and decide on that one",
    )


def _write(ctx: BackupContext, row: Backup, regions: list[Region], value: dict[str, Any]) -> datetime:
    """decision.json in each region. A word that lies there already must be the same. Returns its time."""
    signed = sign_document(DECISION, value, ctx.signing_key)
    now = ctx.now()
    problems: dict[str, str] = {}
    stored: list[bytes] = []

    def one(task: Task) -> None:
        try:
            stored.append(_write_one(ctx, task.region, row, signed, task.until))
        except TidewatchError as error:
            problems[task.region.name] = f"{error.what} ({error.found})"

    base = row.ended_at or row.started_at
    in_parallel(
        one, [Task(r, [], row.backup_id, retain_until(r, base, now, row.keep_until), {}) for r in regions]
    )
    if not stored:
        raise RegionUnavailable(
            f"No region keeps the decision on {row.backup_id}",
            expected="decision.json in at least one region",
            found="; ".join(f"{r}: {p}" for r, p in problems.items()) or "no region with a verified copy",
            do="decide again when a region answers",
        )
    for region, problem in problems.items():
        ctx.progress(f"{row.source}: the decision is not kept in {region}: {problem}")
    for data in stored:
        found = open_signed(DECISION, data, ctx.ring)
        if {k: v for k, v in found.items() if k != "decided_at"} != {
            k: v for k, v in value.items() if k != "decided_at"
        }:
            raise IntegrityError(
                f"Another decision on {row.backup_id} lies in a region",
                expected=f"{value['decision']} by {value['decided_by']}",
                found=f"{found.get('decision')} by {found.get('decided_by')}",
                do="the first word counts; repeat it exactly to record it here",
            )
    first = min(str(open_signed(DECISION, data, ctx.ring)["decided_at"]) for data in stored)
    return datetime.fromisoformat(first)


def _write_one(ctx: BackupContext, region: Region, row: Backup, signed: bytes, until: datetime) -> bytes:
    key = BackupPath(region.config.prefix, row.source, row.backup_id).decision_key
    version: str | None = None
    # Taken: by an earlier try of this decision, or by another one. The caller compares.
    with contextlib.suppress(AlreadyExists):
        version = write_once(region.store, key, signed)
    lock(region, key, region.store.head(key, version), until)
    found = region.store.read(key)
    if version is not None and found != signed:
        raise IntegrityError(
            f"Region {region.name} shows another decision than it was given",
            expected=sha256_hex(signed),
            found=sha256_hex(found),
            do="do not trust this region; run `tidewatch region probe`",
        )
    return found
