"""Reads back what the catalogue says of every copy: after a rebuild, or when a region is in doubt.

Each region is asked by a thread and session of its own. An object that several backups refer to is asked for
once. Rows are written backup by backup, so that a killed check keeps what it has found out.
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from tidewatch.backup import records
from tidewatch.backup.context import BackupContext
from tidewatch.backup.heal import heal
from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection
from tidewatch.core.errors import ObjectMissing, RegionError, TidewatchError
from tidewatch.core.regions import Region
from tidewatch.evidence import ledger, schemas
from tidewatch.vault import catalogue, damage
from tidewatch.vault.catalogue import Backup, Copy
from tidewatch.vault.layout import BackupPath, region_key
from tidewatch.vault.manifest import ObjectEntry, ReadBack
from tidewatch.vault.readback import read_back

_EXAMPLES = 20
_TELL_EVERY = 50


@dataclass
class Checked:
    """What one region showed. `stopped`: why it was not asked to the end."""

    region: str
    verified: int = 0
    failed: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Key and what is wrong, the first 20."""
    stopped: str | None = None

    @property
    def ok(self) -> bool:
        return self.failed == 0 and self.stopped is None


def recheck(ctx: BackupContext) -> list[Checked]:
    """Read back every copy of every backup in every region, by the checksum that the store recorded where it
    has one, else by downloading. What is missing or differs becomes `failed` and is healed later; degraded
    backups that turn out whole become sealed. A region that does not answer is left as it is recorded.
    """
    with ThreadPoolExecutor(len(ctx.regions), thread_name_prefix="recheck") as pool:
        reports = list(pool.map(lambda region: _region(ctx, region), ctx.regions))
    _seal_whole(ctx)
    return reports


def _region(ctx: BackupContext, region: Region) -> Checked:
    report, seen, began = Checked(region.name), dict[str, ReadBack](), ctx.now()
    with contextlib.closing(ctx.connect()) as conn:
        ids = catalogue.committed(conn)
        conn.commit()
        for number, backup_id in enumerate(ids, 1):
            rows = {c.object_key: c for c in catalogue.copies(conn, backup_id) if c.region == region.name}
            if not rows:
                continue
            backup = catalogue.get(conn, backup_id)
            conn.commit()
            try:
                found = _copies(ctx, region, backup, rows, seen)
            except RegionError as error:
                report.stopped = f"{error.what} ({error.found})"
                ctx.progress(f"{region.name}: not asked any further: {report.stopped}")
                break
            _keep(ctx, conn, found, report)
            if number % _TELL_EVERY == 0:
                ctx.progress(f"{region.name}: {number} of {len(ids)} backups read back")
        _record(ctx, conn, region, report, began)
    ctx.progress(f"{region.name}: {report.verified} copies whole, {report.failed} not")
    return report


def _copies(
    ctx: BackupContext, region: Region, backup: Backup, rows: dict[str, Copy], seen: dict[str, ReadBack]
) -> list[Copy]:
    manifest = backup.manifest
    ended = manifest.ended_at or manifest.started_at
    found = []
    for entry in manifest.objects:
        key = region_key(region.config.prefix, entry.key)
        known = rows.get(key)
        # Without a recorded promise the lock must at least have outlived the backup.
        until = known.retain_until if known and known.retain_until else ended
        found.append(
            Copy.from_read_back(backup.backup_id, region.name, _asked(ctx, region, key, entry, until, seen))
        )
    key = BackupPath(region.config.prefix, backup.source, backup.backup_id).manifest_key
    found.append(_manifest(ctx, region, backup, key))
    return found


def _asked(
    ctx: BackupContext,
    region: Region,
    key: str,
    entry: ObjectEntry,
    until: datetime,
    seen: dict[str, ReadBack],
) -> ReadBack:
    before = seen.get(key)
    if before is not None and before.ok and before.retain_until is not None and before.retain_until >= until:
        return before
    seen[key] = read_back(region, key, entry, until, "checksum", now=ctx.now())
    return seen[key]


def _manifest(ctx: BackupContext, region: Region, backup: Backup, key: str) -> Copy:
    try:
        data = region.store.read(key)
        head = region.store.head(key)
    except ObjectMissing:
        return Copy(backup.backup_id, region.name, key, "failed", error="manifest: found no such object")
    sha256, problem = sha256_hex(data), None
    if sha256 != backup.manifest_sha256:
        problem = f"manifest: expected SHA-256 {backup.manifest_sha256}, found {sha256}"
    elif head.lock_mode is None or head.retain_until is None:
        problem = "manifest: expected a lock, found none"
    return Copy(
        backup.backup_id,
        region.name,
        key,
        "failed" if problem else "verified",
        version_id=head.version_id,
        sha256=sha256,
        size=len(data),
        lock_mode=head.lock_mode,
        retain_until=head.retain_until,
        read_back_at=ctx.now(),
        error=problem,
    )


def _keep(ctx: BackupContext, conn: Connection, found: list[Copy], report: Checked) -> None:
    wrong = [copy for copy in found if copy.state == "failed"]
    for copy in found:
        if copy.state == "failed":
            damage.object_damaged(conn, copy, now=ctx.now())
        else:
            catalogue.set_copy(conn, copy)
    conn.commit()
    report.verified += not wrong
    report.failed += bool(wrong)
    room = _EXAMPLES - len(report.problems)
    report.problems += [(copy.object_key, copy.error or "") for copy in wrong[:room]]


def _record(ctx: BackupContext, conn: Connection, region: Region, report: Checked, began: datetime) -> None:
    now = ctx.now()
    problems = [*report.problems, *([("", report.stopped)] if report.stopped else [])]
    body = schemas.CatalogChecked.model_validate(
        {
            "policy": records.policy(ctx.regions_file),
            "place": records.place(region),
            "started_at": began,
            "ended_at": max(now, began),
            "verified": report.verified,
            "failed": report.failed,
            "problems": [{"key": key, "problem": text} for key, text in problems],
        }
    )
    ledger.append(conn, kind=body.KIND, subject=region.name, body=body, now=now)
    conn.commit()


def _seal_whole(ctx: BackupContext) -> None:
    """Degraded backups whose every copy is verified now: healing has only their verdict to write."""
    with contextlib.closing(ctx.connect()) as conn:
        rows = [row for row in catalogue.degraded(conn) if row.status == "degraded"]
        whole = [
            row.backup_id
            for row in rows
            if all(copy.state == "verified" for copy in catalogue.copies(conn, row.backup_id))
        ]
    for backup_id in whole:
        try:
            heal(ctx, backup_id)
        except TidewatchError as error:  # somebody is at it, or the hourly healing will be
            ctx.progress(f"{backup_id}: {error.what} ({error.found})")
