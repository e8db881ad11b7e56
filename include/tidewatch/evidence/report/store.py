"""Where reports are kept: `<home>/reports/compliance/<month>/v<n>/`, and, where it is set, in every region.

A version that the ledger tells of is never written again. Beside the backups of a region, not among them, lie
its copies: `<prefix>-reports/compliance/<month>/v<n>/<file>`, written once and locked.
"""

import itertools
import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.clock import require_utc
from tidewatch.core.errors import AlreadyExists, IntegrityError, RegionRefused
from tidewatch.core.files import move
from tidewatch.core.regions import Region
from tidewatch.core.writeonce import write_once

SUMS = "SHA256SUMS"


def directory(home: Path, month: str, number: int) -> Path:
    """Where version `number` of the month lies."""
    return home / "reports" / "compliance" / month / f"v{number}"


def sums(files: Mapping[str, bytes]) -> bytes:
    """SHA256SUMS of `files`, as `sha256sum -c` reads it."""
    return "".join(f"{sha256_hex(data)}  {name}\n" for name, data in sorted(files.items())).encode()


def keep(place: Path, files: Mapping[str, bytes], *, recorded: bool) -> None:
    """Have `files` in the directory `place`: whole or not at all. Idempotent. Raises OSError.

    What a killed call has left of a version that the ledger does not tell of yet is replaced. Of one that is
    `recorded`, or where a person put something beside it, what is there and differs was altered: it is put
    aside as `<place>.other-<n>`, to be looked at.
    """
    if place.exists():
        if _same(place, files):
            return
        if recorded or any(entry.name not in files for entry in place.iterdir()):
            others = (place.with_name(f"{place.name}.other-{n}") for n in itertools.count(1))
            place.rename(next(other for other in others if not other.exists()))
        else:
            shutil.rmtree(place)
    partial = place.with_name(f".{place.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    for name, data in files.items():
        _write(partial / name, data)
    move(partial, place)


def hand_out(target: Path, files: Mapping[str, bytes]) -> None:
    """Copy `files` into `target`. Files of these names that are there must be the same. Raises AlreadyExists
    before anything is written, OSError."""
    for name, data in files.items():
        if (target / name).exists() and (target / name).read_bytes() != data:
            raise AlreadyExists(
                f"{target / name} is there, and is something else",
                expected="a directory without files of this report, or with this very version",
                found="a file with other content",
                do="give another directory; nothing is overwritten",
            )
    target.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if not (target / name).exists():
            _write(target / name, data)


def copy_to(region: Region, month: str, number: int, files: Mapping[str, bytes], until: datetime) -> None:
    """Write `files` once into the region, lock them until `until` and read them back. Idempotent.

    Raises AlreadyExists when something else lies there, IntegrityError and RegionError.
    """
    root = f"{region.config.prefix}-reports/compliance/{month}/v{number}"
    for name, data in sorted(files.items()):
        key = f"{root}/{name}"
        version = write_once(region.store, key, data)
        head = region.store.head(key, version)
        if head.retain_until is None or head.retain_until < require_utc(until).replace(microsecond=0):
            region.store.set_retention(key, version, region.config.lock_mode, until)
        found, _ = region.store.digest(key, version)
        if found != sha256_hex(data):
            raise IntegrityError(
                f"Region {region.name} does not hold {key} as it was written",
                expected=f"SHA-256 {sha256_hex(data)}",
                found=f"SHA-256 {found}",
                do=f"`tidewatch region probe {region.name}`; do not rely on this copy",
            )
        if region.store.head(key, version).retain_until is None:
            raise RegionRefused(
                f"Region {region.name} did not lock {key}",
                expected=f"a lock until {until.isoformat()}",
                found="none",
                do=f"`tidewatch region probe {region.name}` tells whether it can lock at all",
            )


def _same(place: Path, files: Mapping[str, bytes]) -> bool:
    """What a person has put beside them (a note, a scan) is not ours to remove."""
    return all((place / name).is_file() and (place / name).read_bytes() == files[name] for name in files)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
