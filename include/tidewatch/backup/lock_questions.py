"""What a probe asks about locks, with one small object a day that is locked for an hour."""

import contextlib

from tidewatch.backup.asking import LOCK, Asked
from tidewatch.backup.upload_questions import complete, send_part
from tidewatch.core.errors import ObjectMissing, RegionError, RegionRefused, RegionUnavailable
from tidewatch.core.objectstore import Head


def ask_about_locks(asked: Asked) -> None:
    key = f"{asked.folder}/locked"
    _make_locked(asked, key)
    head = asked.region.store.head(key)
    if _settable(asked, key, head):
        shown = asked.region.store.head(key, head.version_id)
        _undeletable(asked, key, head.version_id)
        _bypass(asked, key, head.version_id)
        _not_shortened(asked, key, shown)


def _make_locked(asked: Asked, key: str) -> None:
    """Today's object, made by a multipart upload that asks for a lock; it may be there already."""
    question = "lock headers kept at multipart"
    with contextlib.suppress(ObjectMissing):
        asked.region.store.head(key)
        asked.say(question, "asked earlier today", None, False)
        return
    lock = {
        "ObjectLockMode": asked.region.config.lock_mode,
        "ObjectLockRetainUntilDate": (asked.now() + LOCK).replace(microsecond=0),
    }
    try:
        upload = asked.call("begin", key, "create_multipart_upload", **lock)["UploadId"]
        complete(asked, key, upload, {"ETag": send_part(asked, key, upload)})
    except RegionUnavailable:
        raise
    except RegionError as error:
        asked.put(key)
        asked.say(question, "refused", False, False, f"{error.found}; retention is set afterwards")
        return
    head = asked.region.store.head(key)
    kept = head.lock_mode is not None and head.retain_until is not None
    detail = "" if kept else "retention is set after the upload and read back"
    asked.yes_no(question, kept, False, detail)


def _settable(asked: Asked, key: str, head: Head) -> bool:
    """Whether the object has a lock now that lasts long enough to be tried."""
    question, store = "lock can be set", asked.region.store
    now = asked.now()
    if head.lock_mode is None or head.retain_until is None or head.retain_until <= now + LOCK / 2:
        mode = head.lock_mode or asked.region.config.lock_mode
        try:
            store.set_retention(key, head.version_id, mode, (now + LOCK).replace(microsecond=0))
        except RegionUnavailable:
            raise
        except RegionError as error:
            asked.say(question, "no", False, True, error.found)
            asked.say("locked version undeletable", "not asked", None, True, "there is no lock to try")
            return False
    shown = store.head(key, head.version_id)
    holds = shown.lock_mode is not None and shown.retain_until is not None
    asked.yes_no(question, holds, True, f"{shown.lock_mode} until {shown.retain_until}")
    return True


def _undeletable(asked: Asked, key: str, version_id: str | None) -> None:
    question = "locked version undeletable"
    try:
        asked.region.store.delete(key, version_id)
    except RegionRefused:
        asked.yes_no(question, True, True)
        return
    except RegionUnavailable:
        raise
    except RegionError as error:
        asked.yes_no(question, not _is_gone(asked, key, version_id), True, error.found)
        return
    gone = _is_gone(asked, key, version_id)
    detail = "the store deleted a locked version" if gone else "the store said yes and kept it"
    asked.yes_no(question, not gone, True, detail)


def _bypass(asked: Asked, key: str, version_id: str | None) -> None:
    """In COMPLIANCE mode nobody may; in GOVERNANCE mode it shows what these credentials may do."""
    if _is_gone(asked, key, version_id):
        return
    question = "undeletable with the header that lifts GOVERNANCE locks"
    version = {"VersionId": version_id} if version_id is not None else {}
    detail = ""
    try:
        asked.call("delete", key, "delete_object", BypassGovernanceRetention=True, **version)
    except RegionUnavailable:
        raise
    except RegionError as error:
        detail = error.found
    gone = _is_gone(asked, key, version_id)
    strict = asked.region.config.lock_mode == "COMPLIANCE"
    if gone:
        detail = "the store ended a COMPLIANCE lock" if strict else "these credentials may lift the lock"
    asked.yes_no(question, not gone, strict, detail)


def _not_shortened(asked: Asked, key: str, head: Head) -> None:
    """Only asked of COMPLIANCE locks: the others may be shortened by whoever has the permission."""
    if head.lock_mode != "COMPLIANCE" or head.retain_until is None or _is_gone(asked, key, head.version_id):
        return
    earlier = head.retain_until - LOCK / 4
    detail = ""
    try:
        asked.region.store.set_retention(key, head.version_id, "COMPLIANCE", earlier)
    except RegionUnavailable:
        raise
    except RegionError as error:
        detail = error.found
    shown = asked.region.store.head(key, head.version_id).retain_until
    asked.yes_no("lock cannot be shortened", shown is not None and shown >= head.retain_until, True, detail)


def _is_gone(asked: Asked, key: str, version_id: str | None) -> bool:
    try:
        asked.region.store.head(key, version_id)
    except ObjectMissing:
        return True
    return False
