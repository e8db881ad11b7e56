"""What a restore is going to do, with everything checked that can be known before a byte is fetched."""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tidewatch.core.errors import ConfigError, NotFound, TidewatchError, UnsupportedVersion
from tidewatch.core.objectstore import ObjectStore
from tidewatch.core.progress import human_bytes
from tidewatch.core.regions import Region
from tidewatch.core.s3address import s3_address
from tidewatch.restore.allow import Permission, Where, parse_target, permission, require_confirmed
from tidewatch.restore.bucket import require_free
from tidewatch.restore.choose import GOOD, Chosen, candidates, choose, folders
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.files import objects_of, require_empty, selected
from tidewatch.restore.target_database import Target, require_fit, require_room
from tidewatch.vault.layout import started_at
from tidewatch.vault.manifest import ObjectEntry

_SPOOL = 1 << 28


@dataclass(frozen=True)
class Request:
    """What a person asks for. `to` as `--to` takes it; `by` names the person in the ledger."""

    source: str
    to: str
    backup_id: str | None = None
    at: datetime | None = None
    region: str | None = None
    tables: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    confirm: str | None = None
    work_dir: Path | None = None
    jobs: int = 2
    dry_run: bool = False
    by: str | None = None


@dataclass(frozen=True)
class Plan:
    """What will be done. `order`: where each object is asked for, the first that works counts."""

    request: Request
    chosen: Chosen
    order: tuple[Region, ...]
    where: Where
    permission: Permission
    objects: tuple[ObjectEntry, ...]
    entries: int
    """Files, directories and links; 0 for a database."""
    work_dir: Path
    remarks: tuple[str, ...]

    @property
    def stored_bytes(self) -> int:
        """Bytes to fetch."""
        return sum(o.cipher_size for o in self.objects)

    @property
    def plain_bytes(self) -> int:
        return sum(o.plain_size for o in self.objects)

    def as_dict(self) -> dict[str, object]:
        """Names and numbers for XCom and JSON."""
        return {
            "backup_id": self.chosen.backup_id,
            "standing": self.chosen.standing,
            "snapshot_at": self.chosen.manifest.snapshot_at,
            "regions": [region.name for region in self.order],
            "target": self.where.text,
            "confirm": None if self.permission.scratch else self.where.name,
            "objects": len(self.objects),
            "stored_bytes": self.stored_bytes,
            "plain_bytes": self.plain_bytes,
            "entries": self.entries,
            "tables": list(self.request.tables),
            "paths": list(self.request.paths),
            "work_dir": str(self.work_dir),
            "remarks": list(self.remarks),
        }


def make_plan(ctx: RestoreContext, request: Request) -> Plan:
    """Choose, and check keys, target, permission, confirmation (but for a dry run) and room on the disks.

    Raises what `choose`, `require_fit` and the rest raise; nothing was changed then.
    """
    where = parse_target(request.to, ctx.resolver)
    allowed = permission(ctx.settings, where)
    chosen, order, remarks = _choose(ctx, request)
    ctx.identities_for(chosen.manifest)
    remarks += chosen.remarks
    if chosen.standing not in GOOD:
        remarks.append(
            f"{chosen.backup_id} is {chosen.standing}: the gate or the regions did not call it good"
        )
    remarks += _fit(ctx, request, chosen, where, allowed)
    entries = selected(chosen.manifest, request.paths)
    wanted = objects_of(chosen.manifest, entries) if request.paths else None
    objects = tuple(o for o in chosen.manifest.objects if wanted is None or o.key in wanted)
    work_dir = (request.work_dir or ctx.settings.home / "restore").absolute() / chosen.backup_id
    plan = Plan(
        request, chosen, order, where, allowed, objects, len(entries), work_dir, tuple(dict.fromkeys(remarks))
    )
    _require_apart(plan)
    _require_lasting(where, ctx.settings.home)
    _require_disks(plan, sum(e.size for e in entries))
    if not request.dry_run:
        require_confirmed(where, allowed, request.confirm)
    return plan


# -- which backup, from where ------------------------------------------------------------------------------


def _choose(ctx: RestoreContext, request: Request) -> tuple[Chosen, tuple[Region, ...], list[str]]:
    """From the region that was named, or the newest good one that any region gives."""
    if request.region is not None:
        region = ctx.region(request.region)
        found = choose(ctx, request.source, region=region, at=request.at, backup_id=request.backup_id)
        return found, (region,), []
    regions = candidates(ctx, request.source, ctx.regions)
    with ThreadPoolExecutor(len(regions), thread_name_prefix="regions") as pool:
        newest = list(pool.map(lambda r: _newest(r, request.source, request.at), regions))
    remarks: list[str] = []
    errors: list[TidewatchError] = []
    answered: list[tuple[str, Region]] = []
    for region, told in zip(regions, newest, strict=True):
        if isinstance(told, TidewatchError):
            _tell(ctx, remarks, region, told)
            errors.append(told)
        else:
            answered.append((told, region))
    # Of regions that hold the same the first one in the configuration.
    answered.sort(key=lambda pair: pair[0], reverse=True)
    best: Chosen | None = None
    for there, region in answered:
        if best is not None and (request.backup_id is not None or there <= best.backup_id):
            break  # nothing newer lies there, nor in those that follow
        try:
            found = choose(ctx, request.source, region=region, at=request.at, backup_id=request.backup_id)
        except UnsupportedVersion:
            raise  # nothing older, of another region, in its place
        except TidewatchError as error:
            _tell(ctx, remarks, region, error)
            errors.append(error)
            continue
        if best is None:
            best = found
            continue
        older, best = sorted((found, best), key=lambda c: c.manifest.snapshot_at)
        remarks += [f"{older.region.name}: {r}" for r in older.remarks if r not in best.remarks]
    if best is None:
        # What a region that answered says tells more than that another one is down.
        raise next((e for e in errors if not e.retryable), errors[0])
    order = {r.name: r for r in (best.region, *(r for _, r in answered), *regions)}
    return best, tuple(order.values()), remarks


def _newest(region: Region, source: str, at: datetime | None) -> str | TidewatchError:
    """The newest attempt there that began until `at` and has a manifest, whatever became of it."""
    try:
        found = folders(region, source)
    except TidewatchError as error:
        return error
    # Ids of one source sort by time.
    return next((f.backup_id for f in reversed(found) if at is None or started_at(f.backup_id) <= at), "")


def _tell(ctx: RestoreContext, remarks: list[str], region: Region, error: TidewatchError) -> None:
    line = f"{region.name} cannot be used, asking the others: {error.what} ({error.found})"
    remarks.append(line)
    ctx.progress(line)


# -- whether the target can take it ------------------------------------------------------------------------


def _fit(
    ctx: RestoreContext, request: Request, chosen: Chosen, where: Where, allowed: Permission
) -> list[str]:
    manifest = chosen.manifest
    if (request.paths and manifest.files is None) or (request.tables and manifest.database is None):
        option, kind = ("--path", "files") if request.paths else ("--table", "a database")
        raise ConfigError(
            f"{manifest.backup_id} is not a backup of {kind}",
            expected=f"{option} with a backup of {kind}",
            found=f"a backup of {'files' if manifest.files is not None else 'a database'}",
            do=f"leave out {option}, or name another source",
        )
    if where.kind == "database":
        target = Target(dsn_of(ctx, where))
        _, remarks = require_fit(target, manifest, replace=allowed.replace)
        for table in request.tables:
            _require_table(chosen, table)
        return remarks
    if where.kind == "directory":
        if not allowed.replace:
            require_empty(where.path)
        _require_parent(where.path)
        return []
    if manifest.files is None:
        raise ConfigError(
            f"{manifest.backup_id} is a backup of a database",
            expected="--to database:... (or directory:..., for the dump itself)",
            found=where.text,
            do="choose such a target",
        )
    names = {f.path_bytes for f in selected(manifest, request.paths) if f.type in ("file", "hardlink")}
    require_free(store_of(ctx, where), where.prefix, names)
    return ["a bucket keeps contents only: directories, links, modes and times of files are not restored"]


def dsn_of(ctx: RestoreContext, where: Where) -> str:
    """Connection string of the database that is restored to. Raises MissingConnection, ConfigError."""
    return Target(ctx.resolver(where.connection).postgres_dsn()).of(where.name)


def store_of(ctx: RestoreContext, where: Where) -> ObjectStore:
    """The bucket that is restored to. Raises MissingConnection, ConfigError."""
    address = s3_address(ctx.resolver(where.connection), f"target {where.text}")
    return ObjectStore("of the target", address, where.bucket)


def _require_table(chosen: Chosen, table: str) -> None:
    known = chosen.manifest.database
    names = {t.label for t in known.tables} if known else set()
    # Partitioned tables and views have no rows of their own: the archive knows them, the manifest need not.
    objects = known.schema_objects.get("table") if known else None
    if table not in names and (objects is None or table not in objects.objects):
        raise NotFound(
            f"{chosen.backup_id} has no table {table}",
            expected="schema.name, as `tidewatch backup show` lists it",
            found=table,
            do="correct the name; upper and lower case count, quotes are not written",
        )


def _require_parent(path: Path) -> None:
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise ConfigError(
            f"The directory {path} cannot be made",
            expected="a path below a directory",
            found=f"{parent} is no directory",
            do="choose another path",
        )


def _require_apart(plan: Plan) -> None:
    """What was fetched is removed at the end, and what is restored is not."""
    work, target = Path(os.path.realpath(plan.work_dir)), plan.where.path
    if plan.where.kind == "directory" and (
        target == work or target in work.parents or work in target.parents
    ):
        raise ConfigError(
            f"The target {target} and the work directory lie one in the other",
            expected="two places: what was fetched is removed at the end",
            found=f"the work directory {work}",
            do="choose another target, or another --work-dir",
        )


def _require_lasting(where: Where, home: Path) -> None:
    """Restore tests and restores clear their own places of all that is not theirs."""
    for name in ("scratch", "restore"):
        place = Path(os.path.realpath(home / name))
        if where.kind == "directory" and (where.path == place or place in where.path.parents):
            raise ConfigError(
                f"The target {where.path} would not last",
                expected="a directory of your own",
                found=f"one in {place}, from where restores and restore tests remove what they find",
                do=f"choose another target, such as {home / 'restored' / where.name}",
            )


def _require_disks(plan: Plan, file_bytes: int) -> None:
    """Work directory and target, together where they are one disk."""
    there = sum(
        o.cipher_size for o in plan.objects if (plan.work_dir / o.cipher_sha256).exists()
    )  # what an earlier run fetched
    needs = [(plan.work_dir, plan.stored_bytes - there, "the work directory")]
    if plan.where.kind == "database":
        needs.append((plan.work_dir, min(_SPOOL, plan.plain_bytes), "the work directory"))
    else:
        size = file_bytes or plan.plain_bytes
        place = plan.where.path if plan.where.kind == "directory" else plan.work_dir
        needs.append((place, size, "the target" if plan.where.kind == "directory" else "the work directory"))
    disks: dict[int, tuple[Path, int, list[str]]] = {}
    for path, size, what in needs:
        exists = path
        while not exists.exists():
            exists = exists.parent
        device = exists.stat().st_dev
        first, known, names = disks.get(device, (path, 0, []))
        disks[device] = (first, known + size, [*names, what])
    for path, size, names in disks.values():
        require_room(path, size, " and ".join(dict.fromkeys(names)))


def describe(plan: Plan) -> list[tuple[str, str]]:
    """The plan in lines for a person: what, value."""
    chosen, manifest = plan.chosen, plan.chosen.manifest
    rows = [
        ("backup", f"{chosen.backup_id} ({chosen.standing})"),
        ("snapshot", f"{manifest.snapshot_at:%Y-%m-%d %H:%M:%S}Z"),
        ("from", " then ".join(region.name for region in plan.order)),
        ("to", plan.where.text + (" (scratch)" if plan.permission.scratch else "")),
        ("objects", f"{len(plan.objects)}, {human_bytes(plan.stored_bytes)} to fetch"),
    ]
    if manifest.database is not None:
        tables = ", ".join(plan.request.tables) or f"all {len(manifest.database.tables)}"
        rows.append(("tables", f"{tables}; {human_bytes(plan.plain_bytes)} dumped"))
    else:
        rows.append(("files", f"{plan.entries} entries" + _below(plan.request.paths)))
    rows.append(("work directory", f"{plan.work_dir}"))
    return [*rows, *(("remark", remark) for remark in plan.remarks)]


def _below(paths: Sequence[str]) -> str:
    return f" at or below {', '.join(paths)}" if paths else ""


def forget(work_dir: Path) -> None:
    """Remove what was fetched, when it is not needed any more."""
    shutil.rmtree(work_dir, ignore_errors=True)
