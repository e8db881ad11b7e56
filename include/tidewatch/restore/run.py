"""One restore from beginning to end: plan, fetch, check, rebuild, record."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg

from tidewatch.core.errors import TidewatchError
from tidewatch.core.files import directory_lock
from tidewatch.evidence import ledger, schemas
from tidewatch.restore import bucket, database, files
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.fetch import Fetched, fetch
from tidewatch.restore.plan import Plan, Request, dsn_of, forget, make_plan, store_of
from tidewatch.vault.filenames import encode_name

__all__ = ["Done", "Request", "make_plan", "restore"]

_LONGEST = 400


@dataclass(frozen=True)
class Done:
    """What a restore did. `seconds` by phase: fetch, decrypt (CPU time), load; and `all`. `recorded`: the
    number of the ledger's record, None where there is no warehouse."""

    backup_id: str
    target: str
    regions: tuple[str, ...]
    seconds: Mapping[str, float]
    remarks: tuple[str, ...]
    recorded: int | None

    def as_dict(self) -> dict[str, object]:
        """Names and numbers for XCom and JSON."""
        return {
            "backup_id": self.backup_id,
            "target": self.target,
            "regions": list(self.regions),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "remarks": list(self.remarks),
            "ledger_seq": self.recorded,
        }


def restore(ctx: RestoreContext, plan: Plan, *, run: schemas.Run | None = None) -> Done:
    """Do what `make_plan` planned. Killed at any point and planned again, it goes on with what was fetched.

    Raises RegionError, IntegrityError, TargetError's family, ConfigError, Busy; the target is as it was then
    (a bucket keeps the objects that were written, and the next run goes on with them).
    """
    began, started_at = time.monotonic(), ctx.now()
    plan.work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with directory_lock(plan.work_dir):
        fetched = fetch(
            ctx,
            plan.chosen,
            plan.work_dir,
            objects={o.key for o in plan.objects},
            regions=[r for r in plan.order if r.name != plan.chosen.region.name],
        )
        seconds, remarks = _rebuild(ctx, plan, fetched)
        forget(plan.work_dir)
    phases = {"fetch": fetched.seconds, **seconds, "all": time.monotonic() - began}
    told = tuple(dict.fromkeys((*plan.remarks, *fetched.remarks, *remarks)))
    body = _body(ctx, plan, fetched, phases, told, started_at, run)
    recorded, why_not = _record(ctx, plan, body)
    if why_not is not None:
        told = (*told, why_not)
        ctx.progress(why_not)
    return Done(plan.chosen.backup_id, plan.where.text, tuple(fetched.regions), phases, told, recorded)


def _rebuild(ctx: RestoreContext, plan: Plan, fetched: Fetched) -> tuple[dict[str, float], tuple[str, ...]]:
    """Seconds by phase, and what a person must know."""
    request, chosen, where = plan.request, plan.chosen, plan.where
    if where.kind == "database":
        loaded = database.load(
            ctx,
            chosen,
            fetched,
            dsn_of(ctx, where),
            workdir=plan.work_dir,
            tables=request.tables,
            jobs=request.jobs,
            replace=plan.permission.replace,
        )
        roles = (f"roles made on the target's server: {', '.join(loaded.roles)}",) if loaded.roles else ()
        return loaded.seconds, (*loaded.remarks, *roles)
    if where.kind == "directory":
        stamp = f"{ctx.now():%Y%m%d%H%M%S}"
        aside = where.path.with_name(f"{where.path.name}.before-{stamp}") if plan.permission.replace else None
        if chosen.manifest.files is None:
            made = files.unseal(ctx, chosen, fetched, where.path, aside=aside)
        else:
            made = files.unpack(ctx, chosen, fetched, where.path, prefixes=request.paths, aside=aside)
        kept = aside is not None and aside.exists()
        return made.seconds, (f"what was {where.path} before is now {aside}",) if kept else ()
    tree = plan.work_dir / "tree"
    files.remove_tree(tree)
    made = files.unpack(ctx, chosen, fetched, tree, prefixes=request.paths)
    began = time.monotonic()
    bucket.upload(store_of(ctx, where), where.prefix, tree, ctx.progress)
    files.remove_tree(tree)
    return {**made.seconds, "load": made.seconds["load"] + time.monotonic() - began}, ()


def _body(
    ctx: RestoreContext,
    plan: Plan,
    fetched: Fetched,
    seconds: Mapping[str, float],
    remarks: tuple[str, ...],
    started_at: datetime,
    run: schemas.Run | None,
) -> schemas.RestoreDone:
    chosen, request = plan.chosen, plan.request
    database_ = chosen.manifest.database
    return schemas.RestoreDone.model_validate(
        {
            "policy": {"id": ctx.regions_file.policy_id, "version": ctx.regions_file.policy_version},
            "source": request.source,
            "backup_id": chosen.backup_id,
            "manifest_sha256": chosen.manifest_sha256,
            "snapshot_at": chosen.manifest.snapshot_at,
            "standing": chosen.standing,
            "regions": fetched.regions,
            "target": _short(plan.where.text),
            "scratch": plan.permission.scratch,
            "tables": list(request.tables),
            # As the manifest spells them: a name on a disk may be no text.
            "paths": [encode_name(p).text for p in request.paths],
            "run": run,
            "restored_by": request.by,
            "started_at": started_at,
            "ended_at": max(ctx.now(), started_at),
            "milliseconds": {name: round(value * 1000) for name, value in seconds.items()},
            "objects": len(plan.objects),
            "stored_bytes": plan.stored_bytes,
            "rows": database_.rows if database_ is not None and not request.tables else None,
            "entries": plan.entries if chosen.manifest.files is not None else None,
            "remarks": list(remarks),
        }
    )


def _short(target: str) -> str:
    """As much as a name in the ledger holds. A path may be longer, and what was done is recorded."""
    return target if len(target) <= _LONGEST else f"{target[: _LONGEST - 1]}…"


def _record(ctx: RestoreContext, plan: Plan, body: schemas.RestoreDone) -> tuple[int | None, str | None]:
    """The record's number, or why there is none: a restore must not fail for want of the warehouse."""
    try:
        with ctx.connect() as conn:
            record = ledger.append(conn, kind=body.KIND, subject=body.backup_id, body=body, now=ctx.now())
    except (TidewatchError, psycopg.Error) as error:
        what = error.what if isinstance(error, TidewatchError) else type(error).__name__
        return None, f"this restore is not in the ledger, since there is no warehouse to write to: {what}"
    return record.seq, None
