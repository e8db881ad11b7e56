"""What a probe asks about uploads in parts."""

import base64
import contextlib
import hashlib
from typing import Any

from tidewatch.backup.asking import BODY, CRC64NVME, SHA256, Asked
from tidewatch.core.errors import AlreadyExists, IntegrityError, RegionError, RegionUnavailable


def ask_about_uploads(asked: Asked) -> None:
    key = asked.key("parts")
    written: list[str | None] = []
    try:
        kinds = _sha256_at_parts(asked, key, written)
        kinds += _crc_at_parts(asked, key, written)
        asked.say_checksums("checksums at multipart", kinds)
        _condition_atcomplete(asked, key, written)
    finally:
        for version in written:
            asked.remove(key, version)


def _sha256_at_parts(asked: Asked, key: str, written: list[str | None]) -> list[str]:
    right = base64.b64encode(SHA256).decode()
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    composite = base64.b64encode(hashlib.sha256(SHA256).digest()).decode()
    rejected = False
    try:
        upload = asked.call("begin", key, "create_multipart_upload", ChecksumAlgorithm="SHA256")["UploadId"]
        _listed(asked, key, upload)
        try:
            send_part(asked, key, upload, ChecksumSHA256=wrong)
        except RegionUnavailable:
            raise
        except (RegionError, IntegrityError):
            rejected = True
        part = send_part(asked, key, upload, ChecksumSHA256=right)
        version = complete(asked, key, upload, {"ETag": part, "ChecksumSHA256": right})
    except RegionUnavailable:
        raise
    except (RegionError, IntegrityError) as error:
        asked.sha256_parts = "refused"
        asked.say("wrong checksum of a part rejected", "no", False, False, f"no SHA-256: {error.found}")
        return []
    written.append(version)
    told = str(asked.head(key, version).get("ChecksumSHA256") or "").partition("-")[0] == composite
    asked.sha256_parts = "checked" if rejected and told else "ignored"
    asked.yes_no(
        "wrong checksum of a part rejected",
        rejected,
        False,
        "" if rejected else "every object is read back and hashed instead",
    )
    return ["SHA-256"] if told else []


def _listed(asked: Asked, key: str, upload: str) -> None:
    question = "unfinished uploads listed"
    try:
        found = any(row.upload_id == upload for row in asked.region.store.list_multiparts(key))
    except RegionUnavailable:
        raise
    except RegionError as error:
        asked.yes_no(question, False, False, f"{error.found}; a lifecycle rule must remove them")
        return
    asked.yes_no(question, found, False, "" if found else "a lifecycle rule must remove them")


def _crc_at_parts(asked: Asked, key: str, written: list[str | None]) -> list[str]:
    whole = {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}
    try:
        upload = asked.call("begin", key, "create_multipart_upload", **whole)["UploadId"]
        part = send_part(asked, key, upload, ChecksumCRC64NVME=CRC64NVME)
        version = complete(asked, key, upload, {"ETag": part, "ChecksumCRC64NVME": CRC64NVME})
    except RegionUnavailable:
        raise
    except (RegionError, IntegrityError):
        return []
    written.append(version)
    return ["CRC64NVME"] if asked.head(key, version).get("ChecksumCRC64NVME") == CRC64NVME else []


def _condition_atcomplete(asked: Asked, key: str, written: list[str | None]) -> None:
    question = "conditional completion of uploads"
    upload = asked.call("begin", key, "create_multipart_upload")["UploadId"]
    part = send_part(asked, key, upload)
    try:
        written.append(complete(asked, key, upload, {"ETag": part}, IfNoneMatch="*"))
    except AlreadyExists:
        asked.conditional_complete = "honoured"
        asked.say(question, "honoured", True, False)
    except RegionUnavailable:
        raise
    except RegionError as error:
        asked.conditional_complete = "refused"
        asked.say(question, "refused", False, False, f"{error.found}; keys hold a random part")
    else:
        asked.conditional_complete = "ignored"
        asked.say(question, "ignored", False, False, "keys hold a random part and are not used again")
    if asked.conditional_complete != "ignored":
        with contextlib.suppress(RegionError):
            asked.region.store.abort_multipart(key, upload)


def send_part(asked: Asked, key: str, upload: str, **checksum: str) -> str:
    reply = asked.call("write", key, "upload_part", UploadId=upload, PartNumber=1, Body=BODY, **checksum)
    return str(reply["ETag"])


def complete(asked: Asked, key: str, upload: str, part: dict[str, Any], **condition: str) -> str | None:
    parts = {"Parts": [{"PartNumber": 1, **part}]}
    reply = asked.call(
        "complete", key, "complete_multipart_upload", UploadId=upload, MultipartUpload=parts, **condition
    )
    version: str | None = reply.get("VersionId")
    return version
