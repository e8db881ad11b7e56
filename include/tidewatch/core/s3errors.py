"""What a store answers, in our own words: S3 error codes become the exceptions of `core/errors.py`."""

from dataclasses import dataclass
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

NO_BUCKET = "no such bucket"
_OUTDATED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "TokenRefreshRequired",
}
_REFUSED = {
    "AccessDenied",
    "SignatureDoesNotMatch",
    "AccountProblem",
    "AllAccessDisabled",
    "403",
}
_MISSING = {"NoSuchKey", "NoSuchVersion", "NoSuchUpload", "404", "NotFound"}
_CONDITION = {"PreconditionFailed", "412"}
_BUSY = {
    # Another write of this key is on its way, most likely our own earlier try: the next answer is clear.
    "ConditionalRequestConflict",
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
_NO_LOCK = {"ObjectLockConfigurationNotFoundError", "InvalidBucketState"}
_WRONG_PLACE = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidBucketName",
    "PermanentRedirect",
    "TemporaryRedirect",
    "301",
    "307",
}
_CHECKSUM = {"BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "XAmzContentChecksumMismatch"}


@dataclass(frozen=True)
class _Meaning:
    """What an answer means. `{region}`, `{bucket}`, `{place}` and `{found}` are filled in."""

    kind: type[RegionError | IntegrityError]
    expected: str
    do: str
    found: str = "{found}"


_DAMAGED = _Meaning(
    IntegrityError,
    "bytes that arrive as they were sent",
    "try again; if it repeats, look for a proxy or a network card that changes data",
)
_LOCK_IN_THE_PAST = _Meaning(
    RegionRefused,
    "a clock that agrees with the store's: the lock is to end in the future",
    "compare the clocks (`tidewatch region probe {region}`); the one that is wrong needs NTP",
    "the store takes the end of the lock for past: {found}",
)
_WITHOUT_LOCK = _Meaning(
    RegionMisconfigured,
    "a bucket {bucket} with object lock",
    "object lock is switched on when a bucket is created: create a new bucket with it",
    "no object lock: {found}",
)
_ELSEWHERE = _Meaning(
    RegionMisconfigured,
    "the store's own region name and an endpoint that serves this bucket",
    "correct endpoint_url and region_name in the connection of region {region}",
)
_SKEWED = _Meaning(
    RegionRefused,
    "a clock that agrees with the store's to a few minutes",
    "correct the clock of this machine (NTP)",
)
_BUCKETLESS = _Meaning(
    RegionMisconfigured,
    "a bucket {bucket} with object lock",
    "create it with object lock enabled, or correct `bucket` in config/regions.yaml",
    NO_BUCKET,
)
_TAKEN = _Meaning(
    AlreadyExists,
    "a key that is free",
    "nothing is overwritten; compare the two, or use a new backup id",
    "an object that is already there",
)
_GONE = _Meaning(
    ObjectMissing,
    "an object {place}",
    "heal the copy from another region (`heal_copies` does so by itself)",
    "no such object",
)
_EXPIRED = _Meaning(
    RegionRefused,
    "credentials that are valid now",
    "put the new credentials into the connection of region {region} and check the connection with "
    "`tidewatch region probe {region}`; each task reads the connection anew, and copies that were missed "
    "are healed",
)
_FORBIDDEN = _Meaning(
    RegionRefused,
    "credentials that may do this, or an object without a lock",
    "check the connection of region {region}, its permissions, and the object's lock",
)
_UNABLE = _Meaning(
    RegionMisconfigured,
    "a store that can do this",
    "use another store for this region; `tidewatch region probe` shows what each one can do",
)
_OTHER = _Meaning(
    RegionError,
    "success",
    "look the code up in the store's manual; `tidewatch region probe` shows what it supports",
)


def translate(region: str, bucket: str, verb: str, key: str, response: Any) -> RegionError | IntegrityError:
    """The error for `response` (botocore's parsed error answer) to the attempt to `verb` `key`."""
    told = response.get("Error", {})
    code = str(told.get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    found = f"{code or 'an error'} (HTTP {status})"
    meaning = _meaning(verb, key, code, status, str(told.get("Message", "")))
    if meaning is None:
        return unavailable(region, bucket, verb, key, found)
    place = f"{bucket}/{key}" if key else f"bucket {bucket}"
    words = {"region": region, "bucket": bucket, "place": place, "found": found}
    return meaning.kind(
        _what(region, bucket, verb, key),
        expected=meaning.expected.format_map(words),
        found=meaning.found.format_map(words),
        do=meaning.do.format_map(words),
    )


def _meaning(verb: str, key: str, code: str, status: int, message: str) -> _Meaning | None:
    """None: the store has a trouble of its own, which may pass."""
    if code in _NO_LOCK:
        return _WITHOUT_LOCK
    if code == "NoSuchBucket" or (status == 404 and not key and verb != "list"):
        return _BUCKETLESS
    if verb == "lock":
        return _meaning_for_lock(code, status, message) or _meaning_of(code, status)
    if code in _CONDITION and verb in {"write", "complete"}:
        return _TAKEN
    return _meaning_of(code, status)


def _meaning_for_lock(code: str, status: int, message: str) -> _Meaning | None:
    if code in {"InvalidRequest", "InvalidArgument"} and "future" in message.lower():
        return _LOCK_IN_THE_PAST
    if code == "InvalidRequest":
        return _WITHOUT_LOCK
    return _UNABLE if status == 405 else None


def _meaning_of(code: str, status: int) -> _Meaning | None:
    for codes, meaning in _BY_CODE:
        if code in codes:
            return meaning
    if status == 501:
        return _UNABLE
    if code in _BUSY or status >= 500 or status in {408, 429}:
        return None
    return _OTHER


_BY_CODE: tuple[tuple[set[str], _Meaning], ...] = (
    (_CHECKSUM, _DAMAGED),
    (_WRONG_PLACE, _ELSEWHERE),
    ({"RequestTimeTooSkewed"}, _SKEWED),
    (_MISSING, _GONE),
    (_OUTDATED, _EXPIRED),
    (_REFUSED, _FORBIDDEN),
    ({"NotImplemented", "UnsupportedOperation"}, _UNABLE),
)


def unavailable(region: str, bucket: str, verb: str, key: str, found: str) -> RegionUnavailable:
    """The error for a store that does not answer, or answers with a failure of its own."""
    return RegionUnavailable(
        _what(region, bucket, verb, key),
        expected="an answer of the store",
        found=found,
        do="nothing at once if it passes: copies are healed hourly; otherwise check endpoint and network",
    )


def broken(region: str, bucket: str, verb: str, key: str, error: Exception) -> RegionError:
    """The error for a call that never got an answer it could read."""
    from botocore import exceptions as aws

    name = type(error).__name__
    what = _what(region, bucket, verb, key)
    if isinstance(error, aws.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return RegionMisconfigured(
            what,
            expected="a TLS certificate that this machine trusts",
            found="a certificate that does not verify",
            do=f"set extra.verify of region {region}'s connection to the file of its certificate authority",
        )
    if isinstance(error, aws.ParamValidationError | aws.NoCredentialsError | aws.NoRegionError):
        return RegionMisconfigured(
            what,
            expected="a bucket, key and connection that S3 allows",
            found=name,
            do=f"correct region {region} in config/regions.yaml and its connection",
        )
    return unavailable(region, bucket, verb, key, name)


def _what(region: str, bucket: str, verb: str, key: str) -> str:
    return f"Region {region} did not {verb} {bucket}/{key}".rstrip("/")
