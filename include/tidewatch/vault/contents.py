"""What files backups hold: lists of files, which object holds which content, and where it was verified.

SQL on schema `vault` beside `catalogue.py`; every function works inside the caller's transaction.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import zstandard

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.database import Connection, execute
from tidewatch.vault.manifest import Manifest, ObjectEntry, files_from_bytes, files_to_bytes

_COUNTS = ("sealed", "degraded", "accepted")
"""Statuses of backups whose objects a later backup may refer to."""


@dataclass(frozen=True)
class Holding:
    """An object that a backup of a files source uploaded."""

    index: int
    """Its place among the objects of that backup."""
    entry: ObjectEntry
    regions: frozenset[str]
    """Where the catalogue says it was verified."""


def keep_files(conn: Connection, manifest: Manifest) -> str | None:
    """Keep the list of files unless the same is there; returns its SHA-256, None for other sources."""
    if manifest.files is None:
        return None
    data = files_to_bytes(manifest.files)
    sha256 = sha256_hex(data)
    if execute(conn, "vault/has_listing", {"sha256": sha256}).fetchone() is None:
        entries = zstandard.ZstdCompressor().compress(data)
        execute(conn, "vault/add_listing", {"sha256": sha256, "entries": entries})
    return sha256


def with_files(manifest: Manifest, listing: bytes) -> Manifest:
    """`manifest` with the list of files that `keep_files` kept."""
    files = files_from_bytes(zstandard.ZstdDecompressor().decompress(listing))
    return Manifest.model_validate({**dict(manifest), "files": files})


def enter_contents(conn: Connection, manifest: Manifest) -> None:
    """The contents that this backup itself uploaded; those of earlier backups have rows already."""
    own = {n for n, o in enumerate(manifest.objects) if o.backup_id == manifest.backup_id}
    held = {f.sha256: f.object for f in manifest.files or [] if f.sha256 is not None and f.object in own}
    if held:
        parameters = {"sha256s": list(held), "indexes": list(held.values())}
        identity = {"source": manifest.source, "backup_id": manifest.backup_id}
        execute(conn, "vault/add_contents", parameters | identity)


def holdings(conn: Connection, source: str, key_ids: Collection[str] | None = None) -> list[Holding]:
    """Every object with contents of the source's backups that count, newest first.

    With `key_ids`, only what was encrypted to exactly these recipients: what others could open, or what
    these could not, is no content of theirs.
    """
    parameters = {
        "source": source,
        "statuses": list(_COUNTS),
        "key_ids": None if key_ids is None else list(key_ids),
    }
    return [
        Holding(row["object_index"], ObjectEntry.model_validate(row["entry"]), frozenset(row["regions"]))
        for row in execute(conn, "vault/holdings", parameters)
    ]


def contents_in(conn: Connection, chosen: Sequence[Holding]) -> dict[str, ObjectEntry]:
    """SHA-256 of a content -> the first of the chosen objects that holds it."""
    parameters = {
        "backup_ids": [h.entry.backup_id for h in chosen],
        "indexes": [h.index for h in chosen],
    }
    return {
        sha256: chosen[row["position"]].entry
        for row in execute(conn, "vault/contents_in", parameters)  # the last first: earlier ones win
        for sha256 in row["sha256s"]
    }
