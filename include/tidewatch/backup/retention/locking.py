"""Extends object locks; none is ever shortened."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from tidewatch.backup.prove import lock, strong_enough
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import ObjectMissing, RegionMisconfigured, RegionUnavailable, TidewatchError
from tidewatch.core.regions import Region

_AT_ONCE = 4


@dataclass(frozen=True)
class Wanted:
    """A version that must be locked until `until` at least. `version_id` None: the current one."""

    object_key: str
    version_id: str | None
    until: datetime
    optional: bool = False
    """It need not be there."""


@dataclass(frozen=True)
class Locked:
    """What the store says of the lock of one object now."""

    object_key: str
    version_id: str | None
    lock_mode: str
    retain_until: datetime


@dataclass
class Extended:
    """What one region did."""

    region: str
    locked: list[Locked]
    problems: list[str]
    """What was refused, is missing, or could not be asked any more."""


def extend(region: Region, wanted: Sequence[Wanted]) -> Extended:
    """Lock each version for as long as it is wanted, and look whether the store says so. Never raises for
    what the region does: whatever is left is done by a later call."""
    done = Extended(region.name, [], [])
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"extend-{region.name}") as pool:
        for start in range(0, len(wanted), 4 * _AT_ONCE):
            gone = False
            for result in pool.map(lambda w: _one(region, w), wanted[start : start + 4 * _AT_ONCE]):
                if isinstance(result, Locked):
                    done.locked.append(result)
                elif result is not None:
                    done.problems.append(f"{result.what} ({result.found})")
                    gone |= isinstance(result, RegionUnavailable)
            if gone:
                break  # a region that is silent is not asked about thousands of objects
    return done


def _one(region: Region, wanted: Wanted) -> Locked | TidewatchError | None:
    key, until = wanted.object_key, wanted.until
    try:
        head = region.store.head(key, wanted.version_id)
        lock(region, key, head, until)
        shown = region.store.head(key, wanted.version_id or head.version_id)
    except TidewatchError as error:
        return None if wanted.optional and isinstance(error, ObjectMissing) else error
    mode, end = shown.lock_mode, shown.retain_until
    if mode is None or end is None or end < until.replace(microsecond=0):
        return _not_locked(region, key, f"until {until.isoformat()}", f"until {end}" if end else "no lock")
    if not strong_enough(mode, region.config.lock_mode):
        return _not_locked(region, key, region.config.lock_mode, mode)
    return Locked(key, wanted.version_id or shown.version_id, mode, end)


def _not_locked(region: Region, key: str, expected: str, found: str) -> RegionMisconfigured:
    return RegionMisconfigured(
        f"Region {region.name} did not extend the lock of {key}",
        expected=f"a lock {expected}",
        found=found,
        do=f"run `tidewatch region probe {region.name} --record`; the lock is asked for again every day",
    )


def note(conn: Connection, region: str, locked: Sequence[Locked]) -> None:
    """What the store said, into the catalogue. The caller ends the transaction."""
    for each in locked:
        execute(conn, "retention/locked", {"region": region, **vars(each)})
