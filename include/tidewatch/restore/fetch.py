"""Brings the stored bytes of a backup onto this machine: in parts, several at once, going on where a killed
run stopped. Nothing is used before its SHA-256 is the one in the signed manifest.

In the work directory an object is a file named by that SHA-256, so that what is complete is known by its
name (and hashed again all the same). `<name>.partial` is one on its way; `<name>.parts` has one byte for each
part, `1` once it is there.
"""

import hashlib
import os
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tidewatch.core.errors import IntegrityError, RegionError, RegionMisconfigured, TidewatchError
from tidewatch.core.progress import Progress, human_bytes
from tidewatch.core.regions import Region
from tidewatch.restore.choose import Chosen
from tidewatch.restore.context import RestoreContext
from tidewatch.vault.layout import region_key
from tidewatch.vault.manifest import ObjectEntry

PART = 16 << 20
OBJECTS_AT_ONCE = 3
PARTS_AT_ONCE = 4
_TELL_SECONDS = 3.0
_ELSEWHERE = "take another region (leave out --region); `tidewatch backup verify` shows which copies hold"


@dataclass(frozen=True)
class FetchedObject:
    """Stored bytes on this machine, as the manifest says. `region`: where they came from."""

    entry: ObjectEntry
    path: Path
    region: str


@dataclass(frozen=True)
class Fetched:
    """What was fetched: relative key -> object. `remarks`: regions and objects that could not be used."""

    objects: dict[str, FetchedObject]
    seconds: float
    remarks: tuple[str, ...] = ()

    def by_role(self, role: str) -> list[FetchedObject]:
        """The objects of one role, in the order of the manifest."""
        return [o for o in self.objects.values() if o.entry.role == role]

    @property
    def regions(self) -> list[str]:
        """Where they came from, sorted."""
        return sorted({o.region for o in self.objects.values()})


def fetch(
    ctx: RestoreContext,
    chosen: Chosen,
    workdir: Path,
    *,
    objects: Collection[str] | None = None,
    regions: Sequence[Region] = (),
) -> Fetched:
    """Fetch the objects of `chosen`, or those whose relative keys are in `objects`, into `workdir`.

    Each comes from the region of `chosen`; when that does not answer, or gives other bytes, from the next of
    `regions`, and last of all from an older version below what covers it. Without `regions` nothing but what
    the region itself shows counts. Whoever compares regions gives each a `workdir` of its own: what is there
    already is not asked for again. Raises RegionError or IntegrityError of the last region tried.
    """
    began = time.monotonic()
    workdir.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = [o for o in chosen.manifest.objects if objects is None or o.key in objects]
    meter = _Meter(ctx.progress, chosen.backup_id, sum(o.cipher_size for o in wanted))
    order = [chosen.region, *(r for r in regions if r.name != chosen.region.name)]
    work = _Work(chosen, workdir, order, bool(regions), meter)
    with ThreadPoolExecutor(OBJECTS_AT_ONCE, thread_name_prefix="fetch") as pool:
        try:
            found = list(pool.map(work.fetch, wanted))
        except BaseException:
            work.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    meter.end()
    by_key = {o.entry.key: o for o in found}
    return Fetched(by_key, time.monotonic() - began, tuple(dict.fromkeys(work.remarks)))


def hashed(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Stopped(Exception):
    """Another object has failed for good: this one is not needed any more."""


@dataclass
class _Work:
    chosen: Chosen
    workdir: Path
    order: list[Region]
    falls_over: bool
    meter: "_Meter"

    def __post_init__(self) -> None:
        self.remarks: list[str] = []
        self.stop = threading.Event()

    def fetch(self, entry: ObjectEntry) -> FetchedObject:
        path = self.workdir / entry.cipher_sha256
        if path.exists():
            if hashed(path) == entry.cipher_sha256:
                self.meter.add(entry.cipher_size)
                return FetchedObject(entry, path, "kept from before")
            path.unlink()
        trials: list[tuple[Region, str | None]] = [(region, None) for region in self.order]
        if self.falls_over:
            trials += [(r, v) for r in self.order if (v := self._version(r, entry)) is not None]
        for number, (region, version) in enumerate(trials):
            try:
                _Download(self, entry, region, version).run(path)
                return FetchedObject(entry, path, region.name)
            except TidewatchError as error:
                if number + 1 == len(trials) or not isinstance(error, RegionError | IntegrityError):
                    raise
                self._tell(region, entry, error)
        raise AssertionError("there is at least one region")

    def _version(self, region: Region, entry: ObjectEntry) -> str | None:
        """The version that was read back when the backup was made: a newer one covers it, and leaves it."""
        key = region_key(region.config.prefix, entry.key)
        copies = [c for c in self.chosen.manifest.copies if c.region == region.name]
        answers = [a for c in copies for a in c.objects if a.key == key and a.ok]
        return answers[0].version_id if answers else None

    def _tell(self, region: Region, entry: ObjectEntry, error: TidewatchError) -> None:
        line = f"{region.name}: {entry.name} cannot be used, asking elsewhere: {error.what} ({error.found})"
        self.remarks.append(line)
        self.meter.progress(line)


class _Download:
    """One object from one region."""

    def __init__(self, work: _Work, entry: ObjectEntry, region: Region, version: str | None) -> None:
        self._work, self._entry, self._region, self._version = work, entry, region, version
        self._key = region_key(region.config.prefix, entry.key)
        self._count = -(-entry.cipher_size // PART)

    def run(self, path: Path) -> None:
        """Raises RegionError, IntegrityError; parts that are there stay when the region fails midway."""
        partial, parts = path.with_suffix(".partial"), path.with_suffix(".parts")
        if self._went_on(partial, parts):
            # Parts of an earlier try, perhaps of another region: which one was wrong is not known. All again.
            self._all(partial, parts)
            if hashed(partial) == self._entry.cipher_sha256:
                self._keep(path, partial, parts)
                return
            partial.unlink()
        parts.unlink(missing_ok=True)
        self._all(partial, parts)
        found = hashed(partial)
        if found != self._entry.cipher_sha256:
            partial.unlink()
            parts.unlink()
            raise IntegrityError(
                f"Region {self._region.name} gave other bytes for {self._key}",
                expected=f"SHA-256 {self._entry.cipher_sha256}, as the signed manifest says",
                found=f"SHA-256 {found}",
                do=_ELSEWHERE,
            )
        self._keep(path, partial, parts)

    def _went_on(self, partial: Path, parts: Path) -> bool:
        return partial.exists() and parts.exists() and b"1" in parts.read_bytes()

    def _keep(self, path: Path, partial: Path, parts: Path) -> None:
        partial.rename(path)
        parts.unlink()

    def _all(self, partial: Path, parts: Path) -> None:
        flags = os.open(parts, os.O_RDWR | os.O_CREAT, 0o600)
        data = os.open(partial, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(data, self._entry.cipher_size)
            done = os.pread(flags, self._count, 0)
            missing = [n for n in range(self._count) if done[n : n + 1] != b"1"]
            self._work.meter.add(sum(self._length(n) for n in range(self._count) if n not in set(missing)))
            try:
                self._parts(data, flags, missing)
            except RegionMisconfigured:
                # Some stores do not give parts, or not of an older version.
                self._whole(data, flags)
        finally:
            os.close(data)
            os.close(flags)

    def _parts(self, data: int, flags: int, missing: Sequence[int]) -> None:
        with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="part") as pool:
            futures = [pool.submit(self._part, data, flags, n) for n in missing]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _whole(self, data: int, flags: int) -> None:
        self._write(data, self._region.store.get(self._key, self._version), 0, self._entry.cipher_size)
        os.pwrite(flags, b"1" * self._count, 0)

    def _length(self, number: int) -> int:
        return min(PART, self._entry.cipher_size - number * PART)

    def _part(self, data: int, flags: int, number: int) -> None:
        store, start, length = self._region.store, number * PART, self._length(number)
        if self._count == 1:
            chunks = store.get(self._key, self._version)
        else:
            size = self._entry.cipher_size
            chunks = store.get_range(self._key, start, length, of=size, version_id=self._version)
        self._write(data, chunks, start, length)
        os.pwrite(flags, b"1", number)

    def _write(self, data: int, chunks: Iterable[bytes], start: int, length: int) -> None:
        written = 0
        for chunk in chunks:
            if self._work.stop.is_set():
                raise _Stopped
            if written + len(chunk) > length:
                raise self._wrong_size(f"more than {length} bytes")
            os.pwrite(data, chunk, start + written)
            written += len(chunk)
            self._work.meter.add(len(chunk))
        if written != length:
            raise self._wrong_size(f"{written} bytes")

    def _wrong_size(self, found: str) -> IntegrityError:
        return IntegrityError(
            f"Region {self._region.name} gave another size for {self._key}",
            expected=f"{self._entry.cipher_size} bytes, as the signed manifest says",
            found=f"{found} where a part was asked for",
            do=_ELSEWHERE,
        )


class _Meter:
    """Tells every few seconds how far the fetching is. Safe to share between threads."""

    def __init__(self, progress: Progress, label: str, total: int) -> None:
        self.progress = progress
        self._label, self._total = label, total
        self._done = 0
        self._began = self._told = time.monotonic()
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._told < _TELL_SECONDS:
                return
            self._told = now
        self._line("")

    def end(self) -> None:
        self._line(", all checked against the manifest")

    def _line(self, end: str) -> None:
        rate = self._done / max(time.monotonic() - self._began, 1e-6)
        self.progress(
            f"{self._label}: fetched {human_bytes(min(self._done, self._total))} of "
            f"{human_bytes(self._total)}, {human_bytes(rate)}/s{end}"
        )
