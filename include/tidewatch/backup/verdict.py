"""The end of a backup: catalogue, copies, notices and ledger, in one transaction of the caller's session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tidewatch.backup import messages, progress, records
from tidewatch.backup.context import BackupContext
from tidewatch.backup.plan import PlannedSource
from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection
from tidewatch.core.errors import RegionUnavailable
from tidewatch.evidence import ledger, schemas
from tidewatch.notices import outbox
from tidewatch.vault import catalogue
from tidewatch.vault.catalogue import Backup, Copy
from tidewatch.vault.layout import BackupPath, region_key
from tidewatch.vault.manifest import CopyEntry, Manifest, signer_of


@dataclass(frozen=True)
class Outcome:
    """A backup with its verdict. Names and counts only: fit for XCom."""

    backup_id: str
    source: str
    verdict: str
    verified: Mapping[str, datetime | None]
    """Region -> until when its copy is locked."""
    missing: Mapping[str, str]
    """Region -> why it has no verified copy."""
    plain_bytes: int
    stored_bytes: int
    new_stored_bytes: int
    tables: int | None
    rows: int | None
    files: int | None
    started_at: datetime
    ended_at: datetime | None
    manifest_sha256: str | None

    @property
    def seconds(self) -> float:
        """From begin to commit."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "backup_id": self.backup_id,
            "source": self.source,
            "verdict": self.verdict,
            "verified": {r: t.isoformat() if t else None for r, t in self.verified.items()},
            "missing": dict(self.missing),
            "plain_bytes": self.plain_bytes,
            "stored_bytes": self.stored_bytes,
            "new_stored_bytes": self.new_stored_bytes,
            "tables": self.tables,
            "rows": self.rows,
            "files": self.files,
            "seconds": round(self.seconds, 3),
            "manifest_sha256": self.manifest_sha256,
        }


def outcome_of(conn: Connection, row: Backup) -> Outcome:
    """What the catalogue says of a committed backup (its document must have been read)."""
    verified: dict[str, datetime | None] = {}
    missing: dict[str, str] = {}
    for copy in catalogue.copies(conn, row.backup_id):
        if copy.state != "verified":
            missing.setdefault(copy.region, copy.error or copy.state)
        else:
            times = [t for t in (verified.get(copy.region, copy.retain_until), copy.retain_until) if t]
            verified[copy.region] = min(times, default=None)
    totals = row.totals
    return Outcome(
        backup_id=row.backup_id,
        source=row.source,
        verdict=row.status,
        verified={r: t for r, t in verified.items() if r not in missing},
        missing=missing,
        plain_bytes=totals.plain_size,
        stored_bytes=totals.cipher_size,
        new_stored_bytes=totals.new_cipher_size,
        tables=totals.tables,
        rows=totals.rows,
        files=totals.files,
        started_at=row.started_at,
        ended_at=row.ended_at,
        manifest_sha256=row.manifest_sha256,
    )


def require_a_copy(
    ctx: BackupContext, conn: Connection, planned: PlannedSource, row: Backup, copies: Sequence[CopyEntry]
) -> None:
    if any(c.state == "verified" for c in copies):
        return
    reasons = {c.region: c.error or "not verified" for c in copies}
    now = ctx.now()
    manifest = row.manifest.model_copy(update={"copies": list(copies), "verdict": "failed", "ended_at": now})
    catalogue.fail(
        conn, row.backup_id, "verified in no region: " + "; ".join(reasons.values())[:1500], now=now
    )
    progress.forget(conn, row.backup_id)
    outbox.post(conn, messages.not_verified(row.backup_id, reasons), now)
    tell_ledger(ctx, conn, planned, manifest, "failed", None, {})
    conn.commit()
    raise RegionUnavailable(
        f"Backup {row.backup_id} was verified in no region",
        expected="at least one verified copy",
        found="; ".join(f"{region}: {why}" for region, why in reasons.items()),
        do="run `tidewatch region probe`, repair what it names, and run the backup again",
    )


def record(
    ctx: BackupContext,
    conn: Connection,
    planned: PlannedSource,
    manifest: Manifest,
    signed: bytes,
    placed: Mapping[str, Copy],
) -> None:
    now, sha256 = ctx.now(), sha256_hex(signed)
    catalogue.commit(conn, manifest, sha256)
    missing = _missing(manifest, placed)
    prefixes = {r.name: r.config.prefix for r in ctx.regions}
    for copy in placed.values():
        catalogue.set_copy(conn, copy)
    for entry in manifest.copies:
        if entry.state == "failed":
            for copy in failed_rows(prefixes.get(entry.region, ""), manifest, entry):
                catalogue.set_copy(conn, copy)
    verdict = str(manifest.verdict)
    if verdict == "sealed" and set(planned.required) & set(missing):
        # A region was lost between the proof and the manifest: what is written there once cannot say so.
        catalogue.damaged(conn, manifest.backup_id, now=now)
        verdict = "degraded"
    progress.forget(conn, manifest.backup_id)
    verified = [region for region, copy in placed.items() if copy.state == "verified"]
    if missing:
        outbox.post(conn, messages.degraded(manifest.backup_id, verified, missing), now)
    if verdict == "suspect" and manifest.gate is not None:
        outbox.post(
            conn,
            messages.suspect(
                manifest.backup_id, manifest.source, manifest.gate.failures, str(ctx.settings.data_docs_dir)
            ),
            now,
        )
    tell_ledger(ctx, conn, planned, manifest, verdict, signed, placed)
    conn.commit()


def _missing(manifest: Manifest, placed: Mapping[str, Copy]) -> dict[str, str]:
    missing = {c.region: c.error or "not verified" for c in manifest.copies if c.state == "failed"}
    return missing | {r: c.error or "no manifest" for r, c in placed.items() if c.state != "verified"}


def failed_rows(prefix: str, manifest: Manifest, entry: CopyEntry) -> list[Copy]:
    """Rows for everything a failed region lacks, the manifest included, so that healing knows what is
    left.
    """
    known = {o.key for o in entry.objects}
    path = BackupPath(prefix, manifest.source, manifest.backup_id)
    keys = [region_key(prefix, o.key) for o in manifest.objects] + [path.manifest_key]
    error = (entry.error or "not verified")[:1000]
    return [Copy(manifest.backup_id, entry.region, k, "failed", error=error) for k in keys if k not in known]


def tell_ledger(
    ctx: BackupContext,
    conn: Connection,
    planned: PlannedSource,
    manifest: Manifest,
    verdict: str,
    signed: bytes | None,
    placed: Mapping[str, Copy],
) -> None:
    now, regions = ctx.now(), {r.name: r for r in planned.regions}
    bodies: list[schemas.Body] = []
    for entry in manifest.copies:
        region, copy = regions.get(entry.region), placed.get(entry.region)
        if region is None:
            continue  # removed from the configuration since the manifest was signed, which tells of it
        if entry.state == "verified" and copy is not None and copy.state == "verified":
            bodies.append(records.copy_verified(manifest, ctx.regions_file, region, entry.objects, now))
        else:
            error, step = entry.error or "not verified", "read_back" if entry.objects else "upload"
            if copy is not None:
                error, step = copy.error or "no manifest", "manifest"
            bodies.append(
                records.copy_failed(manifest, ctx.regions_file, region, stage=step, error=error, now=now)
            )
    bodies.append(
        records.committed(
            manifest,
            ctx.regions_file,
            planned.regions,
            verdict=verdict,
            manifest_sha256=sha256_hex(signed) if signed is not None else None,
            signing_key_id=signer_of(signed) if signed is not None else ctx.signing_key.public.key_id,
        )
    )
    for body in bodies:
        ledger.append(conn, kind=body.KIND, subject=manifest.backup_id, body=body, now=now)
