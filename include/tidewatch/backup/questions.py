"""The questions of a probe, asked with tiny objects under `<prefix>/probes/<yyyy-mm-dd>/`.

One object a day stays behind, `locked`: it is locked for an hour, since that is how to see whether a lock
holds. Everything else has a name of its own each time and is deleted when it was looked at.
"""

import base64
import hashlib
import time
from datetime import datetime, timedelta
from typing import Any

from tidewatch.backup.asking import BODY, CRC64NVME, SHA256, Asked
from tidewatch.backup.lock_questions import ask_about_locks
from tidewatch.backup.upload_questions import ask_about_uploads
from tidewatch.core.errors import (
    AlreadyExists,
    IntegrityError,
    RegionError,
    RegionUnavailable,
    TidewatchError,
)
from tidewatch.core.regions import Region
from tidewatch.core.traits import SKEW_ALLOWED


def ask_everything(region: Region, now: datetime, prefix: str) -> Asked:
    """Every question in turn. Never raises for what the region does: that it does not answer is an answer."""
    began = time.monotonic()
    asked = Asked(
        region,
        lambda: now + timedelta(seconds=time.monotonic() - began),
        f"{prefix}/probes/{now:%Y-%m-%d}",
    )
    try:
        facts = region.store.describe()
        asked.yes_no("reachable", True, True)
        asked.yes_no("bucket exists", facts.exists, True)
        asked.yes_no("versioning", facts.versioning, True)
        asked.yes_no("object lock", facts.object_lock, True)
        if facts.exists:
            for question in (_clock, _puts, ask_about_uploads, _attributes, _trailing, ask_about_locks):
                question(asked)
    except TidewatchError as error:
        question_text = "probe finished" if asked.answers else "reachable"
        asked.say(question_text, "no", False, True, f"{error.what} ({error.found})")
    return asked


# -- time --------------------------------------------------------------------------------------------------


def _clock(asked: Asked) -> None:
    """By the Date header; a store that sends none shows its clock by when it says an object was written."""
    store = asked.region.store
    told = store.told_time()
    if told is None:
        key = asked.key("clock")
        version = asked.put(key)
        told = store.head(key, version).last_modified
        asked.remove(key, version)
    if told is None:
        asked.say("clock", "not told", None, True, "neither answers nor objects carry a time")
        return
    skew = told - asked.now()
    asked.say(
        "clock",
        f"{round(skew.total_seconds()):+d} s",  # a whole number has no minus zero
        abs(skew) <= SKEW_ALLOWED,
        True,
        f"store minus us; at most {SKEW_ALLOWED.total_seconds():.0f} s either way",
    )


# -- one request -------------------------------------------------------------------------------------------


def _puts(asked: Asked) -> None:
    key = asked.key("put")
    written: list[str | None] = []
    try:
        _condition_at_put(asked, key, written)
        _checksums_at_put(asked, key, written)
        _listing(asked, key, written)
    finally:
        for version in written:
            asked.remove(key, version)


def _condition_at_put(asked: Asked, key: str, written: list[str | None]) -> None:
    question = "conditional writes"
    try:
        written.append(asked.put(key, IfNoneMatch="*"))
    except RegionUnavailable:
        raise
    except RegionError as error:
        asked.conditional_put = "refused"
        asked.say(question, "refused", False, False, f"{error.found}; listed before and after instead")
        return
    try:
        written.append(asked.put(key, IfNoneMatch="*"))
    except AlreadyExists:
        asked.conditional_put = "honoured"
        asked.say(question, "honoured", True, False)
    except RegionUnavailable:
        raise
    except RegionError as error:
        asked.say(question, "unclear", False, False, f"{error.found}; listed before and after instead")
    else:
        asked.conditional_put = "ignored"
        asked.say(question, "ignored", False, False, "listed before and after writing instead")


def _checksums_at_put(asked: Asked, key: str, written: list[str | None]) -> None:
    rejected, detail = _wrong_one_rejected(asked, key, written)
    kinds: list[str] = []
    shown = _put_with(asked, key, written, ChecksumSHA256=base64.b64encode(SHA256).decode())
    if shown is None:
        asked.sha256_put = "refused"
        rejected, detail = False, "it takes no SHA-256 at all"
    else:
        told = shown.get("ChecksumSHA256") == base64.b64encode(SHA256).decode()
        asked.sha256_put = "checked" if rejected and told else "ignored"
        kinds += ["SHA-256"] if told else []
    crc = _put_with(asked, key, written, ChecksumCRC64NVME=CRC64NVME) or {}
    kinds += ["CRC64NVME"] if crc.get("ChecksumCRC64NVME") == CRC64NVME else []
    plain = _put_with(asked, key, written) or {}
    md5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
    kinds += ["MD5 as ETag"] if plain.get("ETag", "").strip('"') == md5 else []
    asked.yes_no("wrong checksum rejected", rejected, False, detail)
    asked.say_checksums("checksums", kinds)


def _wrong_one_rejected(asked: Asked, key: str, written: list[str | None]) -> tuple[bool, str]:
    wrong = base64.b64encode(hashlib.sha256(BODY + b"other").digest()).decode()
    try:
        written.append(asked.put(key, ChecksumSHA256=wrong))
    except RegionUnavailable:
        raise
    except IntegrityError:
        return True, ""
    except RegionError as error:
        return True, error.found
    return False, "every object is read back and hashed instead"


def _put_with(asked: Asked, key: str, written: list[str | None], **checksum: str) -> dict[str, Any] | None:
    """What the store says of an object that was put with this checksum; None when it refused it."""
    try:
        version = asked.put(key, **checksum)
    except RegionUnavailable:
        raise
    except (RegionError, IntegrityError):
        return None
    written.append(version)
    return asked.head(key, version)


def _listing(asked: Asked, key: str, written: list[str | None]) -> None:
    """Needed where conditions are not honoured: then listing is the only way to see two writers."""
    required = asked.conditional_put != "honoured"
    try:
        shown = {row.version_id for row in asked.region.store.list_versions(key)}
    except RegionUnavailable:
        raise
    except RegionError as error:
        asked.yes_no("versions listed", False, required, error.found)
        return
    asked.yes_no("versions listed", bool(written) and set(written) <= shown, required)


# -- what we do not use, and others may ask ----------------------------------------------------------------


def _attributes(asked: Asked) -> None:
    key = asked.key("attributes")
    version = asked.put(key)
    detail = "not used here"
    try:
        reply = asked.call_once(
            "look at", key, "get_object_attributes", ObjectAttributes=["ETag", "ObjectSize", "Checksum"]
        )
        answers = reply.get("ObjectSize") == len(BODY)
    except TidewatchError as error:  # a 500 to this one question is known of stores, and is no outage
        answers, detail = False, f"{error.found}; {detail}"
    finally:
        asked.remove(key, version)
    asked.yes_no("GetObjectAttributes", answers, False, detail)


def _trailing(asked: Asked) -> None:
    """boto3 sends a trailing checksum by default, over TLS only."""
    question, detail = "trailing checksums", "not sent by Tidewatch"
    if (asked.region.endpoint_url or "https:").startswith("http:"):
        asked.say(question, "not asked", None, False, "only sent over TLS")
        return
    key = asked.key("trailing")
    try:
        version = asked.put(key, ChecksumAlgorithm="CRC32")
        same = asked.region.store.read(key, version) == BODY
        asked.remove(key, version)
        # Stores that do not know them keep the frame as content.
        asked.yes_no(question, same, False, detail if same else f"the store kept other bytes; {detail}")
    except RegionUnavailable:
        raise
    except (RegionError, IntegrityError) as error:
        asked.yes_no(question, False, False, f"{error.found}; {detail}")
