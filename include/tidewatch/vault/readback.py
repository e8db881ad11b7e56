"""Reading back what a region holds: a copy counts only after its own region has shown it again.

`full` downloads the object and hashes it. `checksum` compares the SHA-256 that the store computed and
recorded at upload (for an upload in parts: the SHA-256 over the parts' SHA-256 values); where the store
recorded none, or the manifest has no such value, it falls back to `full` and says so in `mode`.
Both look at one version only: size, checksum, lock and bytes belong together. It is the version that a reader
without our catalogue would find: one that lies under a delete marker or a newer version is no copy.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tidewatch.core.clock import iso, require_utc
from tidewatch.core.errors import ObjectMissing
from tidewatch.core.objectstore import Head
from tidewatch.core.regions import Region
from tidewatch.vault.manifest import ObjectEntry, ReadBack

Mode = Literal["full", "checksum"]

# A stronger lock than asked for is no problem.
_STRENGTH = {None: 0, "GOVERNANCE": 1, "COMPLIANCE": 2}


@dataclass(frozen=True)
class _Bytes:
    """What was found out about the content: how, the SHA-256, the size read (None: not read)."""

    mode: Mode
    sha256: str
    wanted: str
    size: int | None


def read_back(
    region: Region,
    key: str,
    expected: ObjectEntry,
    until: datetime,
    mode: Mode,
    *,
    now: datetime,
    version_id: str | None = None,
) -> ReadBack:
    """Compare the object at `key` (full key) with `expected`, and its lock with the region's lock mode and
    `until`. `now` is written into the answer as `read_at`.

    What a reader finds under the key is read; with `version_id` it must be that version. An object that is
    missing or differs gives `ok=False` and every problem; a region that does not answer raises RegionError,
    since nothing is known then.
    """
    try:
        head = region.store.head(key)
        content = _content(region, key, expected, head, mode)
    except ObjectMissing:
        hidden = f" (version {version_id} was written there)" if version_id is not None else ""
        return ReadBack(
            key=key,
            size=None,
            sha256=None,
            lock_mode=None,
            retain_until=None,
            version_id=version_id,
            read_at=now,
            mode=mode,
            ok=False,
            problem=f"object: expected {expected.cipher_size} bytes, found no such object{hidden}",
        )
    problems = [*_wrong_version(head, version_id), *_differences(region, expected, head, content, until)]
    return ReadBack(
        key=key,
        size=head.size if content.size is None else content.size,
        sha256=content.sha256,
        lock_mode=head.lock_mode,
        retain_until=head.retain_until,
        version_id=head.version_id,
        read_at=now,
        mode=content.mode,
        ok=not problems,
        problem="; ".join(problems) or None,
    )


def _content(region: Region, key: str, expected: ObjectEntry, head: Head, mode: Mode) -> _Bytes:
    if mode == "checksum":
        recorded = _recorded(head.checksum_sha256, expected)
        if recorded is not None:
            return recorded
    sha256, size = hashlib.sha256(), 0
    for block in region.store.get(key, head.version_id):
        sha256.update(block)
        size += len(block)
    return _Bytes("full", sha256.hexdigest(), expected.cipher_sha256, size)


def _recorded(checksum: str | None, expected: ObjectEntry) -> _Bytes | None:
    """The store's recorded checksum, if it is there and the manifest has a value to compare it with."""
    if checksum is None:
        return None
    value, _, parts = checksum.partition("-")
    try:
        found = base64.b64decode(value, validate=True).hex()
    except binascii.Error:
        return None
    if len(found) != 64:
        return None
    if not parts:
        return _Bytes("checksum", found, expected.cipher_sha256, None)
    if expected.composite_sha256 is None or parts != str(expected.parts):
        return None
    return _Bytes("checksum", found, expected.composite_sha256, None)


def _wrong_version(head: Head, wanted: str | None) -> Iterator[str]:
    if head.version_id in (None, "null"):
        yield "version: expected one, found none (the bucket has no versioning)"
    elif wanted is not None and head.version_id != wanted:
        yield f"version: expected {wanted}, found {head.version_id} on top of it"


def _differences(
    region: Region, expected: ObjectEntry, head: Head, content: _Bytes, until: datetime
) -> Iterator[str]:
    if head.size != expected.cipher_size:
        yield f"size: expected {expected.cipher_size} bytes, found {head.size}"
    if content.size is not None and content.size != head.size:
        yield f"bytes read: expected {head.size}, found {content.size}"
    if content.sha256 != content.wanted:
        yield f"SHA-256 ({content.mode}): expected {content.wanted}, found {content.sha256}"
    wanted_mode = region.config.lock_mode
    if _STRENGTH.get(head.lock_mode, 0) < _STRENGTH[wanted_mode]:
        yield f"lock mode: expected {wanted_mode}, found {head.lock_mode or 'none'}"
    # Stores keep whole seconds.
    least = require_utc(until).replace(microsecond=0)
    if head.retain_until is None:
        yield f"retain until: expected {iso(least)} or later, found none"
    elif head.retain_until < least:
        yield f"retain until: expected {iso(least)} or later, found {iso(head.retain_until)}"
