"""Puts legal holds into effect in the regions, and out of it when they are lifted.

Where the store keeps a version under its own legal hold (which is tried), every object of a held backup gets
one. Elsewhere its lock is extended again and again, and ends by itself some months after the hold.

Each version is entered in vault.held_objects before the store is asked: a hold that nobody remembers could
never be taken off. A region that does not answer is done by a later call; `expire_backups` calls daily.
"""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from tidewatch.backup.context import BackupContext
from tidewatch.backup.lock import holds_lock
from tidewatch.backup.retention import legal
from tidewatch.backup.retention.locking import Wanted, extend, note
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ObjectMissing, RegionUnavailable, TidewatchError
from tidewatch.core.regions import Region

AHEAD = timedelta(days=180)
"""How far a lock reaches that stands in for a hold; it is extended when half of that is left."""
_CHUNK = 100

Means = Literal["legal_hold", "retention"]
_Place = tuple[str, str]
"""Key and version id, which is empty where the store has none."""


@dataclass
class Protection:
    """What holds protect in one region, and by what. `problem`: what is not done yet; it is tried again."""

    region: str
    means: Means | None = None
    objects: int = 0
    """Versions that the store said it protects."""
    released: int = 0
    until: datetime | None = None
    """For `retention`: until when the locks reach now."""
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {**vars(self), "until": self.until.isoformat() if self.until else None}


def protect(ctx: BackupContext) -> list[Protection]:
    """Make every region protect exactly what the holds in force cover. Idempotent; never raises for what a
    region does: a hold is in force once it is recorded, here nothing of it is removed from then on."""
    with ThreadPoolExecutor(len(ctx.regions), thread_name_prefix="holds") as pool:
        return list(pool.map(lambda region: _region(ctx, region), ctx.regions))


def _region(ctx: BackupContext, region: Region) -> Protection:
    done = Protection(region.name)
    try:
        with holds_lock(ctx, region.name) as conn:
            _work(ctx, conn, region, done)
    except TidewatchError as error:
        done.problem = f"{error.what} ({error.found})"
        ctx.progress(f"{region.name}: legal holds are not all in effect: {done.problem}")
    return done


def _work(ctx: BackupContext, conn: Connection, region: Region, done: Protection) -> None:
    here = {"region": region.name}
    wanted = {(r["object_key"], r["version_id"]) for r in execute(conn, "retention/must_be_held", here)}
    held = {(r["object_key"], r["version_id"]): r for r in execute(conn, "retention/held", here)}
    conn.commit()
    over = [place for place in held if place not in wanted]
    fresh = sorted(p for p in wanted if p not in held or held[p]["seen_at"] is None)
    again = sorted(p for p in wanted if p in held and _runs_out(held[p], ctx.now()))
    if fresh:
        done.means = "legal_hold" if legal.honours(region, ctx.now()) else "retention"
        _enter(conn, region, fresh, done.means, ctx.now())
    elif wanted:
        done.means = next(held[p]["means"] for p in wanted)
    if done.means == "legal_hold":
        _hold(ctx, conn, region, fresh)
    else:
        again = sorted({*fresh, *again})
    _lengthen(ctx, conn, region, again)
    done.released = _release(conn, region, [(place, held[place]["means"]) for place in over])
    now_held = execute(conn, "retention/held", here).fetchall()
    conn.commit()
    done.objects = sum(r["seen_at"] is not None for r in now_held)
    done.until = min((r["until"] for r in now_held if r["until"] is not None), default=None)


def _runs_out(row: dict[str, Any], now: datetime) -> bool:
    return row["means"] == "retention" and (row["until"] is None or row["until"] < now + AHEAD / 2)


def _enter(conn: Connection, region: Region, places: Sequence[_Place], means: Means, now: datetime) -> None:
    for place in places:
        _put(conn, region, place, means, None, now, None)
    conn.commit()


def _put(
    conn: Connection,
    region: Region,
    place: _Place,
    means: Means,
    until: datetime | None,
    now: datetime,
    seen_at: datetime | None,
) -> None:
    values = {"region": region.name, "object_key": place[0], "version_id": place[1], "means": means}
    execute(conn, "retention/put_held", {**values, "until": until, "now": now, "seen_at": seen_at})


def _hold(ctx: BackupContext, conn: Connection, region: Region, places: Sequence[_Place]) -> None:
    first: TidewatchError | None = None
    for place in places:
        try:
            legal.put_on(region, *place)
            _put(conn, region, place, "legal_hold", None, ctx.now(), ctx.now())
            conn.commit()
        except RegionUnavailable:
            raise
        except TidewatchError as error:  # one object that is gone must not keep the others from theirs
            first = first or error
    if first is not None:
        raise first


def _lengthen(ctx: BackupContext, conn: Connection, region: Region, places: Sequence[_Place]) -> None:
    until = ctx.now() + AHEAD
    for start in range(0, len(places), _CHUNK):
        wanted = [Wanted(key, version or None, until) for key, version in places[start : start + _CHUNK]]
        answer = extend(region, wanted)
        ends = {each.object_key: each.retain_until for each in answer.locked}
        for key, version in places[start : start + _CHUNK]:
            if key in ends:
                _put(conn, region, (key, version), "retention", ends[key], ctx.now(), ctx.now())
        note(conn, region.name, answer.locked)
        conn.commit()
        if answer.problems:
            raise RegionUnavailable(
                f"Region {region.name} did not extend every lock that stands in for a hold",
                expected=f"locks until {until:%Y-%m-%d}",
                found=answer.problems[0],
                do="the next run of expire_backups, or `tidewatch holds apply`, tries again",
            )


def _release(conn: Connection, region: Region, places: Sequence[tuple[_Place, Means]]) -> int:
    """A lock that stands in for a hold ends by itself; it cannot be shortened."""
    for (key, version), means in places:
        if means == "legal_hold":
            with contextlib.suppress(ObjectMissing):
                legal.take_off(region, key, version)
        values = {"region": region.name, "object_key": key, "version_id": version}
        execute(conn, "retention/forget_held", values)
        conn.commit()
    return len(places)
