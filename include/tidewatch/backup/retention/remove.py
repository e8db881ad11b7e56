"""Takes expired backups out of one region.

Order of statements, under the lock of the region's sweep:

1. what a killed removal had planned and is gone by now counts as removed
2. manifests, of which nothing is locked any more: planned, committed, deleted. Without its manifest nobody
   finds a backup: whatever follows may be cut off anywhere, nothing is half visible
3. under the lock of each source: which objects nobody needs any more, planned and committed. From then on no
   new backup refers to them
4. their deletion, version by version
5. the record in the ledger, what is left, and the list emptied: one transaction

What a kept backup refers to stays until that one is over too; what is locked, or held, stays until the store
lets it go. Both are looked at again by the next run.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidewatch.backup import records, removals
from tidewatch.backup.context import BackupContext
from tidewatch.backup.lock import source_lock, sweep_lock
from tidewatch.backup.removals import Place, Removal
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import Busy, ObjectMissing
from tidewatch.core.objectstore import ListedVersion
from tidewatch.core.regions import Region
from tidewatch.evidence import ledger, schemas
from tidewatch.vault.layout import BackupPath, region_key
from tidewatch.vault.manifest import RunRef

_AT_ONCE = 4
_EXAMPLES = 20
_MAX_BACKUPS = 2000


@dataclass
class Removed:
    """What one run did in one region. Counts: fit for XCom."""

    region: str
    keys: int = 0
    """Versions and delete markers removed, those of a killed run included."""
    bytes: int = 0
    finished: int = 0
    """Backups of which nothing is left there."""
    waiting: int = 0
    """Expired backups of which something is left: locked, or needed by a kept one."""
    locked: int = 0
    """Versions that a lock keeps."""
    refused: int = 0
    """Deletions that the store refused or did not answer; tried again by the next run."""

    @property
    def ok(self) -> bool:
        return self.refused == 0

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        return dict(vars(self))


@dataclass
class _Folder:
    """What lies in the region under one expired backup."""

    backup_id: str
    path: BackupPath
    manifest_gone: bool
    versions: list[ListedVersion]
    blocked: bool = False
    """A lock keeps its manifest, or the store did not let it go."""

    @property
    def manifests(self) -> list[ListedVersion]:
        """Those that are hidden first, so that what a plain reading shows goes last."""
        mine = [v for v in self.versions if v.key == self.path.manifest_key]
        return sorted(mine, key=lambda v: v.latest)

    @property
    def others(self) -> list[ListedVersion]:
        return [v for v in self.versions if v.key != self.path.manifest_key]


@dataclass
class _Work:
    ctx: BackupContext
    conn: Connection
    region: Region
    done: Removed
    gone: set[Place] = field(default_factory=set)
    folders: list[_Folder] = field(default_factory=list)


def remove(ctx: BackupContext, region: Region, run: RunRef | None = None) -> Removed:
    """Remove what can be removed of expired backups from one region. Idempotent.

    Raises Busy (a sweep of the region is under way), RegionError when the region cannot be listed: then
    nothing more is removed, and the next run goes on.
    """
    with sweep_lock(ctx, region.name) as conn:
        work, began = _Work(ctx, conn, region, Removed(region.name)), ctx.now()
        before = removals.planned(conn, region.name, "expired")
        to_do = execute(conn, "retention/to_do", {"region": region.name}).fetchall()
        conn.commit()
        _list(work, [row for row in to_do if row["manifest_gone_at"] is None])
        _remove_manifests(work)
        over = [row for row in to_do if row["manifest_gone_at"] is not None]
        _list(work, _worth_a_look(work, over, {r.backup_id for r in before}))
        seen = {(v.key, v.version_id) for f in work.folders for v in f.versions}
        work.gone |= {r.place for r in before} - seen
        _remove_objects(work)
        _record(work, began, run)
        ctx.progress(f"{region.name}: {work.done.keys} versions of expired backups removed")
        return work.done


def _list(work: _Work, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        path = BackupPath(work.region.config.prefix, row["source"], row["backup_id"])
        versions = list(work.region.store.list_versions(f"{path.root}/"))
        work.folders.append(_Folder(row["backup_id"], path, row["manifest_gone_at"] is not None, versions))


def _worth_a_look(work: _Work, rows: list[dict[str, Any]], planned: set[str | None]) -> list[dict[str, Any]]:
    """Without those that, for all we know, only wait for backups that need all that is left of them."""
    needed = {
        source: _needed(work, source, [row["backup_id"] for row in rows if row["source"] == source])
        for source in sorted({row["source"] for row in rows})
    }
    work.conn.commit()
    found = []
    for row in rows:
        left = row["left_keys"]
        if left is None or row["backup_id"] in planned or not set(left) <= needed[row["source"]]:
            found.append(row)
    work.done.waiting += len(rows) - len(found)
    return found


def _needed(work: _Work, source: str, ids: list[str]) -> set[str]:
    """Relative keys of objects of these backups that are wanted still."""
    parameters = {"source": source, "ids": ids, "region": work.region.name}
    return {row["key"] for row in execute(work.conn, "retention/needed", parameters)}


# -- manifests ---------------------------------------------------------------------------------------------


def _remove_manifests(work: _Work) -> None:
    visible = [f for f in work.folders if not f.manifest_gone]
    for folder in visible:
        locked = sum(_is_locked(work, v) for v in folder.manifests)
        work.done.locked += locked
        folder.blocked = locked > 0
    chosen = [f for f in visible if not f.blocked]
    _plan(work, ((f, v) for f in chosen for v in f.manifests))
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="expire") as pool:
        answers = list(pool.map(lambda f: _delete_in_order(work, f), chosen))
    for folder, all_gone in zip(chosen, answers, strict=True):
        folder.blocked = not all_gone
        work.done.refused += not all_gone
        if all_gone:
            values = {"backup_id": folder.backup_id, "region": work.region.name, "now": work.ctx.now()}
            execute(work.conn, "retention/manifest_gone", values)
    work.conn.commit()
    work.ctx.progress(f"{work.region.name}: the manifests of expired backups are removed")


def _delete_in_order(work: _Work, folder: _Folder) -> bool:
    """The first one that stays keeps the rest: what hid them must not uncover them."""
    return all(_delete(work, version) for version in folder.manifests)


def _is_locked(work: _Work, version: ListedVersion) -> bool:
    if version.delete_marker:
        return False
    try:
        until = work.region.store.head(version.key, version.version_id).retain_until
    except ObjectMissing:
        return False
    return until is not None and until > work.ctx.now()


# -- objects -----------------------------------------------------------------------------------------------


def _remove_objects(work: _Work) -> None:
    chosen: list[tuple[_Folder, ListedVersion]] = []
    for source in sorted({f.path.source for f in work.folders}):
        folders = [f for f in work.folders if f.path.source == source and not f.blocked]
        try:
            with source_lock(work.ctx, source):
                found = _unneeded(work, source, folders)
                _plan(work, found)
                chosen += found
        except Busy:
            work.ctx.progress(f"{work.region.name}: {source} is being backed up; its objects go next time")
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="expire") as pool:
        work.done.refused += list(pool.map(lambda each: _delete(work, each[1]), chosen)).count(False)
    work.ctx.progress(f"{work.region.name}: everything is deleted that could be")


def _unneeded(work: _Work, source: str, folders: list[_Folder]) -> list[tuple[_Folder, ListedVersion]]:
    needed = _needed(work, source, [f.backup_id for f in folders])
    work.conn.commit()
    keys = {region_key(work.region.config.prefix, key) for key in needed}
    found = []
    for folder in folders:
        for version in folder.others:
            if version.key in keys:
                continue
            if _is_locked(work, version):
                work.done.locked += 1
            else:
                found.append((folder, version))
    return found


# -- both --------------------------------------------------------------------------------------------------


def _plan(work: _Work, chosen: Iterable[tuple[_Folder, ListedVersion]]) -> None:
    rows = [Removal(v.key, v.version_id, "version", v.size, f.backup_id) for f, v in chosen]
    removals.plan(work.conn, work.region.name, "expired", rows, work.ctx.now())


def _delete(work: _Work, version: ListedVersion) -> bool:
    if removals.delete(work.ctx, work.region, version.key, version.version_id):
        work.gone.add((version.key, version.version_id))
        return True
    return False


def _record(work: _Work, began: datetime, run: RunRef | None) -> None:
    conn, region, now = work.conn, work.region, work.ctx.now()
    done = [r for r in removals.planned(conn, region.name, "expired") if r.place in work.gone]
    work.done.keys, work.done.bytes = len(done), sum(r.bytes for r in done)
    removals.forget(conn, region.name, "expired")
    finished = []
    for folder in work.folders:
        left = [v for v in folder.versions if (v.key, v.version_id) not in work.gone]
        work.done.waiting += bool(left)
        if not left:
            finished.append(folder.backup_id)
        prefix = region.config.prefix
        values = {
            "backup_id": folder.backup_id,
            "region": region.name,
            "left_keys": sorted({v.key.removeprefix(f"{prefix}/") for v in left}),
            "done_at": None if left else now,
        }
        execute(conn, "retention/left", values)
    work.done.finished = len(finished)
    if done:
        body = schemas.RemovalDone.model_validate(
            {
                "policy": records.policy(work.ctx.regions_file),
                "place": records.place(region),
                "run": records.run(run, None) if run else None,
                "started_at": began,
                "ended_at": max(now, began),
                "keys": work.done.keys,
                "bytes": work.done.bytes,
                "sha256": removals.digest_of(done),
                "examples": [r.object_key for r in done[:_EXAMPLES]],
                "backups": sorted({r.backup_id for r in done if r.backup_id})[:_MAX_BACKUPS],
                "finished": finished[:_MAX_BACKUPS],
            }
        )
        ledger.append(conn, kind=body.KIND, subject=region.name, body=body, now=now)
    conn.commit()
