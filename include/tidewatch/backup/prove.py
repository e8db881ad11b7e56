"""Locks what was uploaded and reads it back: only then is a copy `verified`.

Each region is worked on by a thread of its own, so a silent one costs the others nothing; the objects of a
region go through a few threads at a time. Objects of this backup are read back in the region's own mode;
objects of earlier backups that this one refers to are checked by size, lock and the checksum the store keeps.
Their retention is extended when this backup needs them longer, and never shortened.

A store whose clock is wrong holds a lock for another time than it says: nothing is verified there.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from tidewatch.backup.context import BackupContext
from tidewatch.core.clock import Clock
from tidewatch.core.errors import ObjectMissing, RegionMisconfigured, RegionUnavailable, TidewatchError
from tidewatch.core.objectstore import Head
from tidewatch.core.progress import Progress, silent
from tidewatch.core.regions import Region
from tidewatch.core.traits import SKEW_ALLOWED
from tidewatch.core.writeonce import uncover
from tidewatch.vault.layout import region_key
from tidewatch.vault.manifest import CopyEntry, ObjectEntry, ReadBack
from tidewatch.vault.readback import Mode, read_back

_AT_ONCE = 4
_READINGS = 3
_STRENGTH = {None: 0, "GOVERNANCE": 1, "COMPLIANCE": 2}
T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """What to prove in one region. `versions`: full key -> version that we know we wrote."""

    region: Region
    objects: Sequence[ObjectEntry]
    own: str
    """backup_id whose objects are read back in the region's own mode."""
    until: datetime
    versions: Mapping[str, str | None]
    not_before: datetime | None = None
    """It is at least this late: our clock may have been set back since the upload."""


def prove(ctx: BackupContext, tasks: Sequence[Task]) -> list[CopyEntry]:
    """One entry a task, in their order. What a region refuses or lacks is its entry's error, never raised."""
    return in_parallel(lambda task: _prove_region(ctx, task), tasks)


def in_parallel(work: Callable[[Task], T], tasks: Sequence[Task]) -> list[T]:
    """`work` on every task at once, a thread each."""
    if not tasks:
        return []
    with ThreadPoolExecutor(len(tasks), thread_name_prefix="region") as pool:
        return list(pool.map(work, tasks))


def _prove_region(ctx: BackupContext, task: Task) -> CopyEntry:
    region, gone, clock = task.region, threading.Event(), onwards(ctx.clock, task.not_before)
    answers: list[ReadBack] = []
    errors: list[str] = []

    def one(entry: ObjectEntry) -> ReadBack | str | None:
        if gone.is_set():
            return None
        mode = own_mode(region, entry) if entry.backup_id == task.own else "checksum"
        key = region_key(region.config.prefix, entry.key)
        try:
            return prove_object(
                region, entry, key, task.until, mode, clock, task.versions.get(key), ctx.progress
            )
        except TidewatchError as error:
            gone.set()
            return f"{error.what} ({error.found})"

    try:
        require_fit(region, clock)
    except TidewatchError as error:
        gone.set()
        errors.append(f"{error.what} ({error.found})")
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"prove-{region.name}") as pool:
        for result in pool.map(one, task.objects):
            if isinstance(result, ReadBack):
                # What differs or is missing stands in the error; `objects` are proofs.
                if result.ok:
                    answers.append(result)
                else:
                    errors.append(f"{result.key}: {result.problem}")
            elif result is not None:
                errors.append(result)
    config = region.config
    state = f"{len(answers)} object(s) read back" if not errors else f"not verified: {errors[0]}"
    ctx.progress(f"{region.name}: {state}")
    return CopyEntry(
        region=config.name,
        provider=config.provider,
        bucket=config.bucket,
        state="failed" if errors else "verified",
        objects=answers,
        error="; ".join(errors)[:1000] or None,
    )


def onwards(clock: Clock, not_before: datetime | None) -> Clock:
    """`clock`, which never shows less than `not_before`: it may have been set back."""
    return clock if not_before is None else lambda: max(clock(), not_before)


def require_fit(region: Region, clock: Clock) -> None:
    """Raises RegionMisconfigured when the region was found to lack what a lock rests on, or its clock is
    wrong now; RegionError when it does not answer."""
    if error := _unfit(region):
        raise error
    told = region.store.told_time()
    if told is not None and abs(told - clock()) > SKEW_ALLOWED:
        raise _another_time(region, told - clock())


def _another_time(region: Region, ahead: timedelta) -> RegionMisconfigured:
    return RegionMisconfigured(
        f"Region {region.name} has another time than this machine",
        expected=f"clocks that agree to {SKEW_ALLOWED.total_seconds():.0f} s: the store's ends the lock",
        found=f"{ahead.total_seconds():+.0f} s there",
        do="find out which of the two clocks is wrong and correct it; healing completes the copy then",
    )


def unfit(regions: Sequence[Region]) -> dict[str, str]:
    """Regions that were found to lack what a backup needs -> that, in words. They are sent nothing."""
    errors = {region.name: _unfit(region) for region in regions}
    return {name: f"{error.what} ({error.found})" for name, error in errors.items() if error is not None}


def _unfit(region: Region) -> RegionMisconfigured | None:
    lacking = region.store.traits.unfit
    if not lacking:
        return None
    return RegionMisconfigured(
        f"Region {region.name} lacks what a backup needs",
        expected="a store that keeps what is locked",
        found="the last probe missed: " + ", ".join(lacking),
        do=f"repair it and run `tidewatch region probe {region.name} --record`",
    )


def own_mode(region: Region, entry: ObjectEntry) -> Mode:
    """How a new object is read back: a checksum of the store's counts only where the store was seen to reject
    a wrong one, whatever is configured."""
    traits = region.store.traits
    known = traits.sha256_parts if entry.part_size is not None else traits.sha256_put
    return region.config.read_back if known == "checked" else "full"


def prove_object(
    region: Region,
    entry: ObjectEntry,
    key: str,
    until: datetime,
    mode: Mode,
    clock: Clock,
    version_id: str | None = None,
    progress: Progress = silent,
) -> ReadBack:
    """Lock one object until `until` at least, then read it back. A reading that breaks off is begun again; a
    delete marker that lies on the object is removed and told to `progress`.

    `version_id` is the version that we know we wrote. Raises RegionError when the region does not answer.
    """
    version_id = _locked(region, key, until, clock, version_id)
    answer = _read_patiently(region, entry, key, until, mode, clock, version_id)
    if not answer.ok and answer.size is None and uncover(region.store, key) is not None:
        progress(f"{region.name}: a delete marker lay on {key}; it is removed. Find out who deletes there")
        version_id = _locked(region, key, until, clock, version_id)
        answer = _read_patiently(region, entry, key, until, mode, clock, version_id)
    return answer


def _locked(region: Region, key: str, until: datetime, clock: Clock, version_id: str | None) -> str | None:
    """Lock the version, or the current one, which is returned; None when there is none.

    An object from the future shows a store whose clock is ahead: it would end the lock too early.
    """
    try:
        head = region.store.head(key, version_id)
    except ObjectMissing:
        return version_id  # reading back says it in the words of a read-back
    if head.last_modified is not None and head.last_modified - clock() > SKEW_ALLOWED:
        raise _another_time(region, head.last_modified - clock())
    lock(region, key, head, until)
    return version_id or head.version_id


def _read_patiently(
    region: Region,
    entry: ObjectEntry,
    key: str,
    until: datetime,
    mode: Mode,
    clock: Clock,
    version_id: str | None,
) -> ReadBack:
    for attempt in range(1, _READINGS + 1):
        try:
            return read_back(region, key, entry, until, mode, now=clock(), version_id=version_id)
        except RegionUnavailable:
            if attempt == _READINGS:
                raise
    raise AssertionError("the loop returns or raises")


def lock(region: Region, key: str, head: Head, until: datetime) -> None:
    """Lock the version that `head` describes until `until`, unless it is locked as strongly and as long."""
    wanted = region.config.lock_mode
    until = until.replace(microsecond=0)
    strong = strong_enough(head.lock_mode, wanted)
    if strong and head.retain_until is not None and head.retain_until >= until:
        return
    longest = max(until, head.retain_until) if head.retain_until is not None else until
    mode = head.lock_mode if strong and head.lock_mode is not None else wanted
    region.store.set_retention(key, head.version_id, mode, longest)


def strong_enough(found: str | None, wanted: str) -> bool:
    """Whether a lock of mode `found` keeps what `wanted` promises."""
    return _STRENGTH.get(found, 0) >= _STRENGTH[wanted]


def retain_until(
    region: Region, base: datetime, now: datetime, keep_until: datetime | None = None
) -> datetime:
    """`lock_days` after `base`, the end of the upload: the same whenever the run is taken up again. At least
    a day from now, since no store locks into the past, and for as long as generations need it (`keep_until`).
    """
    least = max(base + timedelta(days=region.config.lock_days), now + timedelta(days=1))
    return least if keep_until is None else max(least, keep_until)
