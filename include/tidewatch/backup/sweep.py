"""Removes orphans, records what was removed, and ends attempts whose process is dead.

Order of statements, for one region:

1. lock of the sweep, orphans found (see orphans.py)
2. under the lock of each source: whoever works on the source now is left alone, and statuses are read again.
   `failed` and `abandoned` are final, so the lock need not be held while the region is asked to delete
3. the list of removals in backup.removals, committed
4. the deletions, version by version, and the uploads aborted
5. the record in the ledger, and backup.removals emptied: one transaction

Killed after 3, the next sweep finds the list: what is gone of it was removed and is recorded then. A locked
version is left until its lock ends; that the store refuses is checked by the store and by us.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tidewatch.backup import messages, records, removals
from tidewatch.backup.context import BackupContext
from tidewatch.backup.endings import abandon_dead
from tidewatch.backup.lock import backup_lock, source_lock, sweep_lock
from tidewatch.backup.orphans import ENDED, Findings, Kept, Orphan, Upload, find
from tidewatch.core.database import Connection
from tidewatch.core.errors import Busy, TidewatchError
from tidewatch.core.regions import Region
from tidewatch.evidence import ledger, schemas
from tidewatch.notices import outbox
from tidewatch.vault import catalogue
from tidewatch.vault.layout import source_of
from tidewatch.vault.manifest import RunRef

LEFT_FOR = timedelta(days=1)
"""After this time a person is told of an attempt that nobody takes further."""
_AT_ONCE = 4
_EXAMPLES = 20
_MAX_ATTEMPTS = 2000


@dataclass
class Swept:
    """What one sweep of one region did. Counts and names: fit for XCom, the list of `kept` aside."""

    region: str
    keys: int = 0
    """Versions and delete markers removed, those of a killed sweep included."""
    bytes: int = 0
    uploads: int = 0
    locked: int = 0
    locked_until: datetime | None = None
    """When the first of the locked ones can be taken."""
    refused: int = 0
    """Deletions that the store refused or did not answer; tried again by the next sweep."""
    strays: int = 0
    kept: list[Kept] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.kept or self.strays or self.refused)

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        until = self.locked_until.isoformat() if self.locked_until else None
        return {**vars(self), "kept": len(self.kept), "locked_until": until}


def remove(ctx: BackupContext, region: Region, run: RunRef | None = None) -> Swept:
    """Remove the orphans of one region whose lock allows it. Idempotent.

    Raises Busy (another sweep of the region), RegionError when the region cannot be listed: then nothing is
    removed.
    """
    with sweep_lock(ctx, region.name) as conn:
        began = ctx.now()
        before = {r.place for r in removals.planned(conn, region.name, "orphan")}
        conn.commit()
        found = find(ctx, region, watch=before)
        orphans, uploads = _still_orphans(ctx, found)
        until = [o.locked_until for o in found.locked if o.locked_until is not None]
        swept = Swept(
            region.name,
            locked=len(until),
            locked_until=min(until, default=None),
            strays=found.strays,
            kept=found.kept,
        )
        _plan(conn, region, orphans, uploads, ctx.now())
        ctx.progress(f"{region.name}: {len(orphans)} versions and {len(uploads)} uploads to remove")
        gone = before - found.seen
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sweep") as pool:
            for place in pool.map(lambda o: _delete(ctx, region, o), orphans):
                swept.refused += place is None
                gone |= {place} if place else set()
            for place in pool.map(lambda u: _abort(ctx, region, u), uploads):
                swept.refused += place is None
                gone |= {place} if place else set()
        ctx.progress(f"{region.name}: everything is deleted that could be")
        _record(ctx, conn, region, swept, gone, began, run)
        return swept


def _still_orphans(ctx: BackupContext, found: Findings) -> tuple[list[Orphan], list[Upload]]:
    """Those whose source nobody works on, and whose attempt has ended or is unknown still."""
    named = {o.backup_id for o in found.removable} | {u.backup_id for u in found.uploads if not u.committed}
    by_source: dict[str, list[str]] = {}
    for backup_id in sorted(b for b in named if b):
        by_source.setdefault(source_of(backup_id), []).append(backup_id)
    ended: set[str | None] = {None}
    for source, ids in by_source.items():
        try:
            with source_lock(ctx, source) as conn:
                for backup_id in ids:
                    standing = catalogue.standing(conn, backup_id)
                    if standing is None or standing.status in ENDED:
                        ended.add(backup_id)
                conn.commit()
        except Busy:
            found.kept += [
                Kept(b, "its source is being worked on now; the next sweep asks again") for b in ids
            ]
    return (
        [o for o in found.removable if o.backup_id in ended],
        [u for u in found.uploads if u.committed or u.backup_id in ended],
    )


def _plan(
    conn: Connection, region: Region, orphans: Sequence[Orphan], uploads: Sequence[Upload], now: datetime
) -> None:
    rows = [removals.Removal(o.key, o.version_id, "version", o.size, o.backup_id) for o in orphans]
    rows += [removals.Removal(u.key, u.upload_id, "upload", 0, u.backup_id) for u in uploads]
    removals.plan(conn, region.name, "orphan", rows, now)


def _delete(ctx: BackupContext, region: Region, orphan: Orphan) -> tuple[str, str] | None:
    """None: it is there still."""
    place = orphan.key, orphan.version_id
    return place if removals.delete(ctx, region, *place) else None


def _abort(ctx: BackupContext, region: Region, upload: Upload) -> tuple[str, str] | None:
    """None: it is there still. The lock of a backup that counts is held by whoever heals it."""
    try:
        if upload.committed and upload.backup_id:
            with backup_lock(ctx, upload.backup_id):
                region.store.abort_multipart(upload.key, upload.upload_id)
        else:
            region.store.abort_multipart(upload.key, upload.upload_id)
    except TidewatchError as error:
        ctx.progress(f"{region.name}: the upload of {upload.key} is not aborted: {error.found}")
        return None
    return upload.key, upload.upload_id


def _record(
    ctx: BackupContext,
    conn: Connection,
    region: Region,
    swept: Swept,
    gone: set[tuple[str, str]],
    began: datetime,
    run: RunRef | None,
) -> None:
    """What is gone of the plan, into the ledger. What is not gone is found again by the next sweep."""
    done = [r for r in removals.planned(conn, region.name, "orphan") if r.place in gone]
    versions = [r for r in done if r.kind == "version"]
    swept.keys, swept.bytes = len(versions), sum(r.bytes for r in versions)
    swept.uploads = len(done) - len(versions)
    removals.forget(conn, region.name, "orphan")
    if done:
        now = ctx.now()
        body = schemas.OrphansRemoved.model_validate(
            {
                "policy": records.policy(ctx.regions_file),
                "place": records.place(region),
                "run": records.run(run, None) if run else None,
                "started_at": began,
                "ended_at": max(now, began),
                "keys": swept.keys,
                "bytes": swept.bytes,
                "uploads": swept.uploads,
                "sha256": removals.digest_of(done),
                "examples": [r.object_key for r in done[:_EXAMPLES]],
                "attempts": sorted({r.backup_id for r in done if r.backup_id})[:_MAX_ATTEMPTS],
                "locked": swept.locked,
            }
        )
        ledger.append(conn, kind=body.KIND, subject=region.name, body=body, now=now)
    conn.commit()
    ctx.progress(f"{region.name}: {swept.keys} versions removed, {swept.locked} locked still")


# -- attempts that nobody takes further --------------------------------------------------------------------


def end_dead_attempts(ctx: BackupContext) -> dict[str, int]:
    """Attempts of more than a day ago that are still `staging` although nobody holds their source become
    `abandoned`; of those, and of `staged` ones, somebody is told once. Their rows keep what they say.
    """
    oldest, told = ctx.now() - LEFT_FOR, {"abandoned": 0, "staged": 0}
    with ctx.connect() as conn:
        rows = catalogue.list_backups(conn, statuses=["staging", "staged"], n=10_000)
    for row in (r for r in rows if r.started_at < oldest):
        try:
            with source_lock(ctx, row.source) as conn:
                standing = catalogue.standing(conn, row.backup_id)
                if standing is None or standing.status != row.status:
                    continue
                now = ctx.now()
                if row.status == "staging":
                    outbox.post(conn, messages.attempt_died(row.backup_id, row.source, row.run), now)
                    abandon_dead(ctx, conn, row.source, row.run.run_id, now=now)
                    told["abandoned"] += 1
                else:
                    outbox.post(conn, messages.left_staged(row.backup_id, row.source, row.run), now)
                    told["staged"] += 1
                conn.commit()
        except Busy:
            ctx.progress(f"{row.source}: {row.backup_id} is being worked on")
    return told
