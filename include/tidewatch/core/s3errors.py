"""What a store answers, in our own words: S3 error codes become the exceptions of `core/errors.py`."""

from typing import Any

from tidewatch.core.errors import (
    AlreadyExists,
    IntegrityError,
    ObjectMissing,
    RegionError,
    RegionMisconfigured,
    RegionRefused,
    RegionUnavailable,
)

_REFUSED = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AccountProblem",
    "AllAccessDisabled",
    "403",
}
_MISSING = {"NoSuchKey", "NoSuchVersion", "NoSuchUpload", "404", "NotFound"}
_CONDITION = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "OperationAborted",
}
_CHECKSUM = {"BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "XAmzContentChecksumMismatch"}


def translate(region: str, bucket: str, verb: str, key: str, response: Any) -> RegionError | IntegrityError:
    """The error for `response` (botocore's parsed error answer) to the attempt to `verb` `key`."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    place = f"{bucket}/{key}" if key else f"bucket {bucket}"
    what = f"Region {region} did not {verb} {place}"
    found = f"{code or 'an error'} (HTTP {status})"
    if code in _CHECKSUM:
        return IntegrityError(
            what,
            expected="bytes that arrive as they were sent",
            found=found,
            do="try again; if it repeats, look for a proxy or a network card that changes data",
        )
    if code == "NoSuchBucket" or (status == 404 and not key):
        return RegionMisconfigured(
            what,
            expected=f"a bucket {bucket} with object lock",
            found="no such bucket",
            do="create it with object lock enabled, or correct `bucket` in config/regions.yaml",
        )
    if code in _CONDITION and verb in {"write", "complete"}:
        return AlreadyExists(
            what,
            expected="a key that is free",
            found="an object that is already there",
            do="nothing is overwritten; compare the two, or use a new backup id",
        )
    if code in _MISSING:
        return ObjectMissing(
            what,
            expected=f"an object {place}",
            found="no such object",
            do="heal the copy from another region (`heal_copies` does so by itself)",
        )
    if code in _REFUSED:
        return RegionRefused(
            what,
            expected="credentials that may do this, or an object without a lock",
            found=found,
            do=f"check the connection of region {region}, its permissions, and the object's lock",
        )
    if code in _BUSY or status >= 500:
        return unavailable(region, bucket, verb, key, found)
    return RegionError(
        what,
        expected="success",
        found=found,
        do="look the code up in the store's manual; `tidewatch region probe` shows what it supports",
    )


def unavailable(region: str, bucket: str, verb: str, key: str, found: str) -> RegionUnavailable:
    """The error for a store that does not answer, or answers with a failure of its own."""
    return RegionUnavailable(
        f"Region {region} did not {verb} {bucket}/{key}",
        expected="an answer of the store",
        found=found,
        do="nothing at once if it passes: copies are healed hourly; otherwise check endpoint and network",
    )
