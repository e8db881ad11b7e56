"""The legal hold of S3: until it is taken off, the store refuses to delete a version, whatever its lock."""

import contextlib
import secrets
from datetime import datetime
from typing import Any

from tidewatch.core.errors import ObjectMissing, RegionError, RegionRefused, RegionUnavailable
from tidewatch.core.regions import Region

_PROBE = "hold"
"""First part of the names of what is tried here; see vault/inventory.py."""


def put_on(region: Region, key: str, version_id: str | None) -> None:
    """Raises RegionError when the store does not say afterwards that it is on."""
    _set(region, key, version_id, "ON")
    if not is_on(region, key, version_id):
        raise RegionRefused(
            f"Region {region.name} does not keep a legal hold on {key}",
            expected="a legal hold that is on",
            found="none, although it was set",
            do="a longer lock is used instead",
        )


def take_off(region: Region, key: str, version_id: str | None) -> None:
    """Raises RegionError."""
    _set(region, key, version_id, "OFF")


def is_on(region: Region, key: str, version_id: str | None) -> bool:
    """What the store says. Raises RegionError."""
    store = region.store
    reply = store.call(
        "look at",
        key,
        lambda: store.client.head_object(Bucket=store.bucket, Key=key, **_version(version_id)),
    )
    return reply.get("ObjectLockLegalHoldStatus") == "ON"


def _set(region: Region, key: str, version_id: str | None, status: str) -> None:
    store, hold = region.store, {"Status": status}
    store.call(
        "hold",
        key,
        lambda: store.client.put_object_legal_hold(
            Bucket=store.bucket,
            Key=key,
            LegalHold=hold,  # type: ignore[arg-type]
            **_version(version_id),
        ),
    )


def _version(version_id: str | None) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id else {}


def honours(region: Region, now: datetime) -> bool:
    """Whether the store keeps a version that has a hold and no lock, found out by trying to delete one.

    Raises RegionUnavailable. What is tried is removed again; what a killed try left is removed first.
    """
    folder = f"{region.config.prefix}/probes/{now:%Y-%m-%d}"
    for left in list(region.store.list_versions(f"{region.config.prefix}/probes/")):
        if f"/{_PROBE}-" in left.key:
            _remove(region, left.key, left.version_id)
    key = f"{folder}/{_PROBE}-{secrets.token_hex(4)}"
    version = region.store.put(key, b"Tidewatch tries a legal hold.\n").version_id
    try:
        put_on(region, key, version)
        return _refuses_to_delete(region, key, version)
    except RegionUnavailable:
        raise
    except RegionError:
        return False  # it does not know holds, or our credentials may not set them
    finally:
        _remove(region, key, version)


def _refuses_to_delete(region: Region, key: str, version_id: str | None) -> bool:
    with contextlib.suppress(RegionRefused):
        region.store.delete(key, version_id)
    try:
        region.store.head(key, version_id)
    except ObjectMissing:
        return False
    return True


def _remove(region: Region, key: str, version_id: str | None) -> None:
    with contextlib.suppress(RegionError):
        take_off(region, key, version_id)
    with contextlib.suppress(RegionError):
        region.store.delete(key, version_id)
