"""Signed files as a region holds them: the newest version that is genuine, and what hides it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import IntegrityError, TidewatchError
from tidewatch.core.objectstore import ListedVersion
from tidewatch.core.regions import Region
from tidewatch.core.signing import Verifier
from tidewatch.vault.inventory import readable
from tidewatch.vault.layout import BackupPath
from tidewatch.vault.manifest import Manifest, open_manifest
from tidewatch.vault.signed import open_signed

T = TypeVar("T")
Raw = bytes | TidewatchError
DECISION = "decision"
"""The name of the value in a signed decision.json."""


@dataclass(frozen=True)
class Genuine(Generic[T]):
    """A signed file whose signature fits, and how the version that holds it is locked."""

    value: T
    sha256: str
    size: int
    version_id: str
    lock_mode: str | None
    retain_until: datetime | None


def read_raw(region: Region, versions: Sequence[ListedVersion]) -> Raw:
    """The newest version with bytes, or why it could not be had."""
    try:
        found = readable(versions)
        return region.store.read(found[0].key, found[0].version_id) if found else b""
    except TidewatchError as error:
        return error


def first_genuine(
    region: Region, versions: Sequence[ListedVersion], raw: Raw, opener: Callable[[bytes], T]
) -> tuple[Genuine[T] | None, str | None]:
    """The newest version that `opener` takes, and what is wrong with how it lies there (None: nothing).

    `raw` is the newest version with bytes, read before. Whoever may write into a bucket can put other bytes
    or a delete marker over a locked object, not change it: the versions below are tried too.
    """
    wrong = "a delete marker hides it" if versions[0].delete_marker else None
    for number, version in enumerate(readable(versions)):
        data = raw if number == 0 else read_raw(region, [version])
        try:
            if isinstance(data, TidewatchError):
                raise data
            value = opener(data)
            head = region.store.head(version.key, version.version_id)
        except TidewatchError as error:
            wrong = wrong or f"{error.what} ({error.found})"
            if not isinstance(error, IntegrityError):
                break  # unreadable, or of a newer format: what lies below it is not what counts
            continue
        found = Genuine(
            value, sha256_hex(data), len(data), version.version_id, head.lock_mode, head.retain_until
        )
        return found, wrong
    return None, wrong


def manifest_in(path: BackupPath, key: Verifier) -> Callable[[bytes], Manifest]:
    """Opens the manifest that must lie at `path`."""

    def opened(data: bytes) -> Manifest:
        manifest = open_manifest(data, key)
        if manifest.backup_id != path.backup_id:
            raise IntegrityError(
                "It is the manifest of another backup",
                expected=path.backup_id,
                found=manifest.backup_id,
                do="do not use it; somebody copied it there",
            )
        return manifest

    return opened


def decision_in(backup_id: str, manifest_sha256: str, key: Verifier) -> Callable[[bytes], dict[str, Any]]:
    """Opens the decision on this very manifest; its value without `manifest_sha256`."""

    def opened(data: bytes) -> dict[str, Any]:
        value = open_signed(DECISION, data, key)
        if value.pop("manifest_sha256", None) != manifest_sha256 or value.get("about") != backup_id:
            raise IntegrityError(
                "It is the decision on another backup",
                expected=f"{backup_id}, manifest {manifest_sha256}",
                found=str(value.get("about"))[:80],
                do="do not use it; somebody copied it there",
            )
        return value

    return opened
