"""Writing a key once, also in a store that ignores conditions.

Where the store honours `If-None-Match: *` it does the work. Elsewhere every version of the key is listed
before and after writing, and each is read and compared. Since each of two writers lists after it has
written, at least the later one sees the other. Whoever sees foreign bytes takes its own version back and
claims nothing; two writers of the same bytes end with one version, the oldest.
Killed between writing and listing, the same call with the same bytes finds its own version and goes on.
"""

import contextlib

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import AlreadyExists, RegionError, RegionUnavailable
from tidewatch.core.objectstore import ListedVersion, ObjectStore, Stored

_ROUNDS = 5


def write_once(store: ObjectStore, key: str, body: bytes) -> str | None:
    """Have exactly `body` under `key` and nothing else, ever; returns the version that holds it. Idempotent.

    Raises AlreadyExists when other bytes lie there, in any version, and RegionError. Meant for small objects.
    """
    if not store.traits.writes_once:
        return _by_listing(store, key, body)
    try:
        return store.put(key, body).version_id
    except AlreadyExists:
        if (same := store.same(key, body)) is not None:
            return same.version_id
        raise


def uncover(store: ObjectStore, key: str) -> str | None:
    """Remove the delete markers that lie on `key`; returns the version that a reader finds now, None when
    there is none. Nothing but delete markers is removed, and those that lie deeper are left.
    """
    for _ in range(_ROUNDS):
        rows = versions(store, key)
        if not rows or all(row.delete_marker for row in rows):
            return None
        if not rows[0].delete_marker:
            return rows[0].version_id
        store.delete(key, rows[0].version_id)
    raise RegionUnavailable(
        f"Region {store.region} hides {store.bucket}/{key} again and again",
        expected="the object, once the delete marker on it is removed",
        found="another delete marker each time",
        do="find out who or what deletes there: a lifecycle rule, or somebody with the region's credentials",
    )


def versions(store: ObjectStore, key: str) -> list[ListedVersion]:
    """Versions and delete markers of this very key, the current one first."""
    rows = [row for row in store.list_versions(key) if row.key == key]
    return sorted(rows, key=lambda row: not row.latest)


def _by_listing(store: ObjectStore, key: str, body: bytes) -> str | None:
    ours = _only_ours(store, key, body)
    written: Stored | None = None
    if not ours:
        with contextlib.suppress(AlreadyExists):  # it honours conditions after all; listing says whose it is
            written = store.put(key, body)
        try:
            ours = _only_ours(store, key, body)
        except AlreadyExists:
            _take_back(store, key, written)
            raise
    if not ours:
        raise RegionUnavailable(
            f"Region {store.region} does not show what it took",
            expected=f"a version of {store.bucket}/{key} in the listing",
            found="none",
            do="try again; a store whose listings lag behind its writes cannot be used without conditions",
        )
    first = min(ours, key=lambda row: (row.last_modified, row.version_id))
    if written is not None and written.version_id not in (None, first.version_id):
        _take_back(store, key, written)
    if uncover(store, key) is None:
        raise RegionUnavailable(
            f"Region {store.region} lost {store.bucket}/{key} at once",
            expected=f"version {first.version_id}",
            found="no version",
            do="try again, and find out who deletes there",
        )
    return first.version_id


def _only_ours(store: ObjectStore, key: str, body: bytes) -> list[ListedVersion]:
    """The versions of the key, all of which are `body`. Raises AlreadyExists when one is not."""
    found = [row for row in versions(store, key) if not row.delete_marker]
    wanted = sha256_hex(body)
    for row in found:
        digest, size = store.digest(key, row.version_id)
        if digest != wanted:
            raise AlreadyExists(
                f"Region {store.region} holds something else under {store.bucket}/{key}",
                expected=f"a key that is free, or SHA-256 {wanted}",
                found=f"version {row.version_id} of {size} bytes with SHA-256 {digest}",
                do="nothing is overwritten; compare the versions, and find out who wrote them",
            )
    return found


def _take_back(store: ObjectStore, key: str, written: Stored | None) -> None:
    """Remove what this very call wrote, and nothing else; it is not locked yet. A refusal leaves bytes that
    nothing refers to."""
    if written is not None and written.version_id is not None:
        with contextlib.suppress(RegionError):
            store.delete(key, written.version_id)
