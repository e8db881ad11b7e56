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

NO_BUCKET = "no such bucket"
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


def translate(region: str, bucket: str, verb: str, key: str, response: Any) -> RegionError | IntegrityError:
    """The error for `response` (botocore's parsed error answer) to the attempt to `verb` `key`."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    place = f"{bucket}/{key}" if key else f"bucket {bucket}"
    what = f"Region {region} did not {verb} {bucket}/{key}".rstrip("/")
    found = f"{code or 'an error'} (HTTP {status})"
    if code in _CHECKSUM:
        return IntegrityError(
            what,
            expected="bytes that arrive as they were sent",
            found=found,
            do="try again; if it repeats, look for a proxy or a network card that changes data",
        )
    if code in _NO_LOCK or (verb == "lock" and code == "InvalidRequest"):
        return RegionMisconfigured(
            what,
            expected=f"a bucket {bucket} with object lock",
            found=f"no object lock: {found}",
            do="object lock is switched on when a bucket is created: create a new bucket with it",
        )
    if code in _WRONG_PLACE:
        return RegionMisconfigured(
            what,
            expected="the store's own region name and an endpoint that serves this bucket",
            found=found,
            do=f"correct endpoint_url and region_name in the connection of region {region}",
        )
    if code == "RequestTimeTooSkewed":
        return RegionRefused(
            what,
            expected="a clock that agrees with the store's to a few minutes",
            found=found,
            do="correct the clock of this machine (NTP)",
        )
    if code == "NoSuchBucket" or (status == 404 and not key and verb != "list"):
        return RegionMisconfigured(
            what,
            expected=f"a bucket {bucket} with object lock",
            found=NO_BUCKET,
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
    if code == "NotImplemented" or status == 501:
        return RegionMisconfigured(
            what,
            expected="a store that can do this",
            found=found,
            do="use another store for this region; `tidewatch region probe` shows what each one can do",
        )
    if code in _BUSY or status >= 500 or status in {408, 429}:
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
        f"Region {region} did not {verb} {bucket}/{key}".rstrip("/"),
        expected="an answer of the store",
        found=found,
        do="nothing at once if it passes: copies are healed hourly; otherwise check endpoint and network",
    )


def broken(region: str, bucket: str, verb: str, key: str, error: Exception) -> RegionError:
    """The error for a call that never got an answer it could read."""
    from botocore import exceptions as aws

    name = type(error).__name__
    what = f"Region {region} did not {verb} {bucket}/{key}".rstrip("/")
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
