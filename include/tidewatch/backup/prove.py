"""Locks what was uploaded and reads it back: only then is a copy `verified`.

Each region is worked on by a thread of its own, so a silent one costs the others nothing; the objects of a
region go through a few threads at a time. Objects of this backup are read back in the region's own mode;
objects of earlier backups that this one refers to are checked by size, lock and the checksum the store keeps.
Their retention is extended when this backup needs them longer, and never shortened.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from tidewatch.backup.context import BackupContext
from tidewatch.core.clock import Clock
from tidewatch.core.errors import ObjectMissing, RegionUnavailable, TidewatchError
from tidewatch.core.objectstore import Head
from tidewatch.core.regions import Region
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
    region, gone = task.region, threading.Event()
    answers: list[ReadBack] = []
    errors: list[str] = []

    def one(entry: ObjectEntry) -> ReadBack | str | None:
        if gone.is_set():
            return None
        mode: Mode = region.config.read_back if entry.backup_id == task.own else "checksum"
        key = region_key(region.config.prefix, entry.key)
        try:
            return prove_object(region, entry, key, task.until, mode, ctx.clock, task.versions.get(key))
        except TidewatchError as error:
            gone.set()
            return f"{error.what} ({error.found})"

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


def prove_object(
    region: Region,
    entry: ObjectEntry,
    key: str,
    until: datetime,
    mode: Mode,
    clock: Clock,
    version_id: str | None = None,
) -> ReadBack:
    """Lock one object until `until` at least, then read it back. A reading that breaks off is begun again.

    Raises RegionError when the region does not answer.
    """
    try:
        head = region.store.head(key, version_id)
        lock(region, key, head, until)
    except ObjectMissing:
        pass  # reading back says it in the words of a read-back
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


def retain_until(region: Region, base: datetime, now: datetime) -> datetime:
    """`lock_days` after `base`, the end of the upload: the same whenever the run is taken up again. At least
    a day from now, since no store locks into the past."""
    return max(base + timedelta(days=region.config.lock_days), now + timedelta(days=1))
