"""One source: extends the locks of what is kept, and marks what is not wanted any more.

Marking is one transaction: vault.backups.expired_at, what is to be done in each region (vault.expiries), and
a record in the ledger for each backup. From then on the backup is over for every reader of the catalogue, and
`remove` takes it out of the regions. It is done under the lock of the source, so that no new backup is
deciding meanwhile to refer to its objects, and no hold is placed between the look and the mark.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tidewatch.backup import records
from tidewatch.backup.context import BackupContext
from tidewatch.backup.lock import backup_lock_number, source_lock
from tidewatch.backup.prove import Task, in_parallel
from tidewatch.backup.retention.facts import Facts, facts_of, former, holds
from tidewatch.backup.retention.holds import unconfirmed
from tidewatch.backup.retention.locking import Extended, Wanted, extend, note
from tidewatch.backup.retention.plan import LEEWAY, Decision, plan
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ConfigError
from tidewatch.core.retention import RetentionPolicy
from tidewatch.evidence import ledger, schemas
from tidewatch.vault.manifest import RunRef

_ROLLING = timedelta(days=7)
"""How far the lock of something kept without a date is extended, where `lock_days` is less."""
_CLOCK = timedelta(hours=1)
_AT_MOST = 500
"""Backups marked in one transaction; the rest follows."""


@dataclass
class Kept:
    """What was done for the backups of one source that are kept. Counts: fit for XCom."""

    source: str
    backups: int = 0
    locks: int = 0
    """Locks that were extended."""
    problems: dict[str, str] = field(default_factory=dict)
    """Region -> why locks there are not extended yet."""


@dataclass(frozen=True)
class Marked:
    """Which backups of one source are over now."""

    source: str
    expired: tuple[str, ...]
    kept: int
    left: tuple[str, ...]
    """Not wanted, and left for the next run: somebody is healing them, say."""

    def as_dict(self) -> dict[str, Any]:
        """For XCom: counts, and the first names."""
        return {
            "source": self.source,
            "expired": len(self.expired),
            "kept": self.kept,
            "left": len(self.left),
            "examples": list(self.expired[:20]),
        }


def policy_of(ctx: BackupContext, source: str) -> RetentionPolicy:
    """The rules for the source. Raises ConfigError without config/retention.yaml."""
    if ctx.retention is None:
        raise ConfigError(
            "Nothing says for how long backups are kept",
            expected="the file config/retention.yaml",
            found="no such file",
            do="write it (docs/retention.md); until then nothing is removed",
        )
    return ctx.retention.policy(source)


def sources_of(ctx: BackupContext) -> list[str]:
    """Every source that has backups, those included that are no longer configured."""
    with ctx.connect() as conn:
        return [row["source"] for row in execute(conn, "retention/sources")]


def preview(ctx: BackupContext, source: str, now: datetime | None = None) -> list[Decision]:
    """What would be kept and what removed, and why, the oldest first. Changes nothing."""
    with ctx.connect() as conn:
        return [d for d, _ in _decide(ctx, conn, source, now or ctx.now())]


def _decide(ctx: BackupContext, conn: Connection, source: str, now: datetime) -> list[tuple[Decision, Facts]]:
    regions = [r.name for r in ctx.regions]
    facts = {f.known.backup_id: f for f in facts_of(conn, source, regions)}
    policy = policy_of(ctx, source)
    here, held = (f.known for f in facts.values()), holds(conn, source=source)
    decisions = plan(here, policy, held, now, regions, former(conn, source))
    return [(d, facts[d.backup.backup_id]) for d in decisions]


# -- what is kept ------------------------------------------------------------------------------------------


def extend_locks(ctx: BackupContext, source: str) -> Kept:
    """Have every object of a kept backup locked for as long as it is needed, as far as can be said now: after
    a backup was accepted late, a policy was changed, or days went by without a backup. Idempotent. Never
    raises for what a region does; ConfigError as `mark` does: nobody shortens a lock."""
    now = ctx.now()
    with closing(ctx.connect()) as conn:
        _require_clock(conn, now)
        keep = [d for d, _ in _decide(ctx, conn, source, now) if d.keep]
        done = Kept(source, len(keep))
        needs = [(d.backup.backup_id, *_needed(ctx, d, now)) for d in keep if d.until or d.open_end]
        for d in keep:
            if d.until is not None:
                values = {"backup_id": d.backup.backup_id, "generations": None, "keep_until": d.until}
                execute(conn, "retention/keep_as", values)
        wanted = _short_locks(ctx, conn, needs)
        conn.commit()
        tasks = [Task(r, [], source, now, {}) for r in ctx.regions if wanted.get(r.name)]
        for each in in_parallel(lambda task: extend(task.region, wanted[task.region.name]), tasks):
            _note(ctx, conn, source, each, done)
    return done


def _needed(ctx: BackupContext, decision: Decision, now: datetime) -> tuple[datetime, datetime]:
    """Until when a lock must reach, and until when it is extended if it does not."""
    until = decision.until or now
    if not decision.open_end:
        return until, until
    ahead = max(_ROLLING, timedelta(days=min(r.config.lock_days for r in ctx.regions)))
    return max(until, now + LEEWAY), max(until, now + ahead)


def _short_locks(
    ctx: BackupContext, conn: Connection, needs: Sequence[tuple[str, datetime, datetime]]
) -> dict[str, list[Wanted]]:
    found: dict[str, dict[tuple[str, str | None], datetime]] = {}
    words: dict[str, list[Wanted]] = {}
    parameters = {
        "ids": [n[0] for n in needs],
        "needed": [n[1] for n in needs],
        "untils": [n[2] for n in needs],
        "regions": [r.name for r in ctx.regions],
    }
    for row in execute(conn, "retention/short_locks", parameters):
        places = found.setdefault(row["region"], {})
        place = row["object_key"], row["version_id"]
        places[place] = max(row["until"], places.get(place, row["until"]))
    for row in execute(conn, "retention/decided", parameters):
        # The word of a person has no row of its own: its lock follows that of the manifest beside it.
        places = found.get(row["region"], {})
        manifest = row["object_key"].removesuffix("decision.json") + "manifest.json"
        until = next((u for (key, _), u in places.items() if key == manifest), None)
        if until is not None:
            words.setdefault(row["region"], []).append(Wanted(row["object_key"], None, until, optional=True))
    return {
        region: [Wanted(*p, u) for p, u in sorted(places.items())] + words.get(region, [])
        for region, places in found.items()
    }


def _note(ctx: BackupContext, conn: Connection, source: str, each: Extended, done: Kept) -> None:
    note(conn, each.region, each.locked)
    conn.commit()
    done.locks += len(each.locked)
    if each.problems:
        done.problems[each.region] = each.problems[0]
        ctx.progress(f"{source}: {each.region}: {len(each.problems)} locks not extended: {each.problems[0]}")


# -- what is not -------------------------------------------------------------------------------------------


def mark(ctx: BackupContext, source: str, run: RunRef | None = None) -> Marked:
    """Mark what is not wanted any more as expired. Idempotent.

    Raises Busy while a backup of the source is being made, ConfigError without config/retention.yaml, when
    this machine's clock is ahead, or the holds of a lost database were not confirmed: what is marked is over
    for good.
    """
    expired: list[str] = []
    with source_lock(ctx, source) as conn:
        _require_clock(conn, ctx.now())
        while True:
            execute(conn, "retention/guard_holds")
            now = ctx.now()
            decided = _decide(ctx, conn, source, now)
            drop = [(d, f) for d, f in decided if not d.keep]
            free = [(d, f) for d, f in drop if _is_free(conn, d.backup.backup_id)]
            if free:
                _require_holds(conn, source)
            for decision, _ in free[:_AT_MOST]:
                _mark(conn, decision, now)
            _tell(ctx, conn, source, free[:_AT_MOST], run, now)
            conn.commit()
            expired += [d.backup.backup_id for d, _ in free[:_AT_MOST]]
            if len(free) <= _AT_MOST:
                break
    left = tuple(d.backup.backup_id for d, _ in drop if d.backup.backup_id not in expired)
    ctx.progress(f"{source}: {len(expired)} expired, {len(decided) - len(drop)} kept")
    return Marked(source, tuple(expired), len(decided) - len(drop), left)


def _require_clock(conn: Connection, now: datetime) -> None:
    there: datetime = execute(conn, "retention/database_clock").fetchone()["now"]  # type: ignore[index]
    if now - there > _CLOCK:
        raise ConfigError(
            "The clock of this machine is ahead of that of the warehouse: nothing is locked or expires by it",
            expected="clocks that agree, or one here that is less than an hour ahead",
            found=f"{now:%Y-%m-%d %H:%M}Z here, {there:%Y-%m-%d %H:%M}Z there",
            do="set the clocks (`tidewatch doctor` shows them), and run it again",
        )


def _require_holds(conn: Connection, source: str) -> None:
    if (lost := unconfirmed(conn)) is not None:
        raise ConfigError(
            f"Backups of {source} have had their time, and nothing is removed",
            expected="legal holds that a person has confirmed since the database was lost",
            found=f"record {lost.seq} of {lost.at:%Y-%m-%d}: the database was lost, and its holds with it",
            do="place the holds again (docs/retention.md), then `tidewatch holds confirm`, also if there "
            "were none",
        )


def _is_free(conn: Connection, backup_id: str) -> bool:
    row = execute(conn, "retention/at_work", {"number": backup_lock_number(backup_id)}).fetchone()
    return bool(row and row["free"])


def _mark(conn: Connection, decision: Decision, now: datetime) -> None:
    values = {"backup_id": decision.backup.backup_id, "now": now}
    execute(conn, "retention/mark_expired", values)
    execute(conn, "retention/to_remove", values)


def _tell(
    ctx: BackupContext,
    conn: Connection,
    source: str,
    dropped: Sequence[tuple[Decision, Facts]],
    run: RunRef | None,
    now: datetime,
) -> None:
    """Appended last: the head of the ledger is locked from here on."""
    policy = str(policy_of(ctx, source))
    common = {
        "policy": records.policy(ctx.regions_file),
        "source": source,
    }
    before = _rules_before(conn, source)
    if before != policy:
        changed = schemas.RetentionChanged.model_validate({**common, "old": before, "new": policy})
        ledger.append(conn, kind=changed.KIND, subject=source, body=changed, now=now)
    for decision, facts in dropped:
        backup = decision.backup
        body = schemas.BackupExpired.model_validate(
            {
                **common,
                "retention": policy,
                "data_class": facts.data_class,
                "backup_id": backup.backup_id,
                "run": records.run(run, None) if run else None,
                "verdict": backup.status,
                "snapshot_at": backup.snapshot_at,
                "manifest_sha256": facts.manifest_sha256,
                "generations": list(facts.generations),
                "locked_until": backup.locked_until,
                "reasons": list(decision.reasons),
                "regions": [r.name for r in ctx.regions],
                "expired_at": now,
            }
        )
        ledger.append(conn, kind=body.KIND, subject=backup.backup_id, body=body, now=now)


def _rules_before(conn: Connection, source: str) -> str | None:
    rules: str | None = None
    for record in ledger.records(conn, kind="retention.changed", subject=source):
        rules = record.body["new"]
    return rules
