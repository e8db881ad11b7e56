"""What a backup is kept as, found out when it is made, so that its objects are locked for as long.

That is asked when the gate has let it pass: a suspect backup gets the region's `lock_days` and no more, and
the next good one of its day, week, month or year takes the place. What a region does not lock now is locked
by the daily run of `expire_backups`.
"""

from collections.abc import Sequence
from datetime import datetime

from tidewatch.backup.context import BackupContext
from tidewatch.backup.prove import Task, in_parallel
from tidewatch.backup.retention.facts import facts_of, former
from tidewatch.backup.retention.locking import Extended, Wanted, extend
from tidewatch.backup.retention.plan import Known, plan
from tidewatch.core.database import Connection, execute
from tidewatch.core.regions import Region
from tidewatch.core.retention import Generation
from tidewatch.vault.catalogue import Backup
from tidewatch.vault.manifest import CopyEntry, ReadBack


def keep_as(
    ctx: BackupContext, conn: Connection, row: Backup
) -> tuple[tuple[Generation, ...], datetime | None]:
    """The generations that `row`, a staged backup that passed, will be kept for, and until when they need it
    at least."""
    if ctx.retention is None or row.snapshot_at is None:
        return (), None
    regions = [r.name for r in ctx.regions]
    others = [f.known for f in facts_of(conn, row.source, regions)]
    this = Known(row.backup_id, "sealed", row.snapshot_at)
    now = max(ctx.now(), row.snapshot_at)  # a clock may be set back
    rules = ctx.retention.policy(row.source)
    decided = plan([*others, this], rules, (), now, (), former(conn, row.source))
    mine = next(d for d in decided if d.backup.backup_id == row.backup_id)
    return mine.generations, mine.until


def lock_for_generations(
    ctx: BackupContext, conn: Connection, row: Backup, copies: Sequence[CopyEntry], *, passed: bool
) -> list[CopyEntry]:
    """Keep in the catalogue what the backup is kept as, and lock its objects in every region that proved
    them. Returns the copies with the locks as they are now. Commits."""
    if ctx.retention is None:
        return list(copies)
    generations, until = keep_as(ctx, conn, row) if passed else ((), None)
    values = {"backup_id": row.backup_id, "generations": list(generations), "keep_until": until}
    execute(conn, "retention/keep_as", values)
    conn.commit()
    if until is None:
        return list(copies)
    ctx.progress(f"{row.source}: kept as {', '.join(generations)} until {until:%Y-%m-%d}")
    here = {r.name: r for r in ctx.regions}
    verified = [c for c in copies if c.state == "verified" and c.region in here]
    tasks = [Task(here[c.region], [], row.backup_id, until, {}) for c in verified]
    entries = {c.region: c for c in verified}
    done = in_parallel(lambda task: _lengthen(task.region, entries[task.region.name], until), tasks)
    for each in done:
        for problem in each.problems[:1]:
            ctx.progress(f"{row.source}: {each.region} does not lock everything longer yet: {problem}")
    now_locked = {each.region: each for each in done}
    return [_with_locks(c, now_locked[c.region]) if c.region in now_locked else c for c in copies]


def kept_until(conn: Connection, backup_id: str) -> datetime | None:
    """Until when its generations need it, as far as is known. Ends the transaction."""
    row = execute(conn, "retention/keep_until", {"backup_id": backup_id}).fetchone()
    conn.commit()
    until: datetime | None = row["keep_until"] if row else None
    return until


def _lengthen(region: Region, entry: CopyEntry, until: datetime) -> Extended:
    short = [
        Wanted(o.key, o.version_id, until)
        for o in entry.objects
        if o.retain_until is None or o.retain_until < until.replace(microsecond=0)
    ]
    return extend(region, short)


def _with_locks(entry: CopyEntry, done: Extended) -> CopyEntry:
    locked = {each.object_key: each for each in done.locked}

    def now(answer: ReadBack) -> ReadBack:
        if (found := locked.get(answer.key)) is None:
            return answer
        return answer.model_copy(update={"retain_until": found.retain_until, "lock_mode": found.lock_mode})

    return entry.model_copy(update={"objects": [now(o) for o in entry.objects]})
