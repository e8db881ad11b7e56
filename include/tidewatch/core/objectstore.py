"""One bucket, seen through the few S3 calls that Tidewatch needs.

Every call retries by itself with exponential back-off and jitter while the store is unavailable; what is
wrong for good (credentials, missing bucket, refused condition) is raised at once, in our own words.
Byte counts are bytes; times are aware UTC.
"""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tidewatch.core import payload
from tidewatch.core.bandwidth import Limiter
from tidewatch.core.clock import require_utc
from tidewatch.core.errors import (
    AlreadyExists,
    ConfigError,
    IntegrityError,
    ObjectMissing,
    RegionError,
    RegionMisconfigured,
    RegionRefused,
    RegionUnavailable,
)
from tidewatch.core.multipart import Bytes
from tidewatch.core.multipart import Multipart as Multipart
from tidewatch.core.multipart import Stored as Stored
from tidewatch.core.s3errors import NO_BUCKET, broken, translate
from tidewatch.core.traits import UNKNOWN

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        GetObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
    )

T = TypeVar("T")
CHUNK = 1 << 20
ATTEMPTS = 5
_MAX_WAIT_S = 20.0
LARGEST_READ = 512 << 20
"""Bytes that `read` takes into memory at most. The manifest of 100,000 files has 24 MB; who may write
into a bucket could put there what no memory holds."""


@dataclass(frozen=True)
class Address:
    """How to reach a store. Secrets are kept out of `repr`."""

    endpoint_url: str | None
    region_name: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    verify: bool | str = True
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    attempts: int = ATTEMPTS
    fault: ConfigError | None = field(default=None, repr=False)
    """Why there is no way to the store: every request raises it, so that one region's configuration is a
    matter of this region alone."""


@dataclass(frozen=True)
class Head:
    """What the store says of one object version. `checksum_sha256` is the store's own spelling (base64,
    for a multipart upload with `-<parts>` at the end), or None."""

    size: int
    version_id: str | None
    etag: str
    lock_mode: str | None
    retain_until: datetime | None
    checksum_sha256: str | None
    last_modified: datetime | None


@dataclass(frozen=True)
class Listed:
    """One row of a listing."""

    key: str
    size: int
    last_modified: datetime


@dataclass(frozen=True)
class ListedVersion:
    """One version of a key, or one delete marker (no bytes: `size` 0). `latest`: what a read without a
    version finds. On a bucket without versioning the id is `null`."""

    key: str
    version_id: str
    latest: bool
    delete_marker: bool
    size: int
    last_modified: datetime


@dataclass(frozen=True)
class ListedUpload:
    """An upload in parts that was neither completed nor aborted."""

    key: str
    upload_id: str
    initiated: datetime


@dataclass(frozen=True)
class BucketFacts:
    """What a bucket is set to."""

    exists: bool
    versioning: bool
    object_lock: bool


class ObjectStore:
    """The bucket `bucket` at `address`, called `region` in messages. Safe to share between threads."""

    def __init__(self, region: str, address: Address, bucket: str, limiter: Limiter | None = None) -> None:
        self.region = region
        self.bucket = bucket
        self.traits = UNKNOWN
        """What the store was last found to do; set by whoever reads the probes (`backup.probe.learn`)."""
        self.limiter = limiter
        """What every byte to and from the store waits for; None without a limit."""
        self._address = address

    def held_back(self) -> float:
        """Seconds in which our own bandwidth limit kept requests waiting, since the beginning."""
        return self.limiter.held_back() if self.limiter is not None else 0.0

    @cached_property
    def client(self) -> "S3Client":
        """The boto3 client, for probes that test what this class hides."""
        from botocore.config import Config

        a = self._address
        if (fault := a.fault) is not None:
            raise RegionMisconfigured(
                f"Region {self.region} cannot be reached: {fault.what}",
                expected=fault.expected,
                found=fault.found,
                do=fault.do,
            )
        config = Config(
            connect_timeout=a.connect_timeout_s,
            read_timeout=a.read_timeout_s,
            # One set of retries, ours: botocore's would multiply with it.
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Trailing checksums, boto3's default, are refused by some stores; we send SHA-256 ourselves.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if a.endpoint_url else "auto"},
            max_pool_connections=16,
        )
        made = payload.client(
            endpoint_url=a.endpoint_url,
            region_name=a.region_name,
            aws_access_key_id=a.access_key,
            aws_secret_access_key=a.secret_key,
            aws_session_token=a.session_token,
            verify=a.verify,
            config=config,
        )
        made.meta.events.register("before-call.s3.PutObjectRetention", _md5_for_crc)
        return made

    # -- writing ------------------------------------------------------------------------------------------

    def put(self, key: str, body: Bytes, *, sha256: bytes | None = None, if_absent: bool = True) -> Stored:
        """Write `body` whole. With `if_absent`, raises AlreadyExists when the key is taken, as far as the
        store honours conditions; where that matters use `writeonce.write_once`.

        `sha256` is the raw 32-byte digest when the caller has it already; the store checks it.
        """
        digest = sha256 or hashlib.sha256(body).digest()
        extra: dict[str, Any] = {}
        if if_absent and self.traits.conditional_put != "refused":
            extra["IfNoneMatch"] = "*"
        if self.traits.sha256_put != "refused":
            extra["ChecksumSHA256"] = base64.b64encode(digest).decode()
        tries = 0

        def write() -> Stored:
            nonlocal tries
            tries += 1
            content = payload.body(body, digest, self.limiter)
            reply = self.client.put_object(Bucket=self.bucket, Key=key, Body=content, **extra)
            return Stored(reply.get("VersionId"), reply["ETag"])

        try:
            return self.call("write", key, write)
        except AlreadyExists:
            # An earlier try of this very call may have been stored although its answer was lost.
            if tries > 1 and (done := self.same(key, body)) is not None:
                return done
            raise

    def same(self, key: str, body: Bytes) -> Stored | None:
        """What is under `key`, when it is these very bytes. Raises ObjectMissing."""
        head = self.head(key)
        if head.size != len(body) or self.digest(key, head.version_id)[0] != hashlib.sha256(body).hexdigest():
            return None
        return Stored(head.version_id, head.etag)

    def multipart(self, key: str) -> Multipart:
        """Begin an upload in parts; nothing is visible under `key` before `complete`."""
        checksum: Any = {} if self.traits.sha256_parts == "refused" else {"ChecksumAlgorithm": "SHA256"}
        upload_id = self.call(
            "begin",
            key,
            lambda: self.client.create_multipart_upload(Bucket=self.bucket, Key=key, **checksum)["UploadId"],
        )
        return Multipart(self, key, upload_id)

    def abort_multipart(self, key: str, upload_id: str) -> None:
        """Forget an unfinished upload and its parts. Raises RegionError; one that is gone is no error."""
        with contextlib.suppress(ObjectMissing):
            self.call(
                "abort",
                key,
                lambda: self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id),
            )

    def set_retention(self, key: str, version_id: str | None, mode: str, until: datetime) -> None:
        """Lock one version until `until`; a COMPLIANCE lock can only grow.

        S3 stores whole seconds: they are rounded up, a lock must not end earlier than asked.
        """
        end = require_utc(until)
        if end.microsecond:
            end = end.replace(microsecond=0) + timedelta(seconds=1)
        retention: Any = {"Mode": mode, "RetainUntilDate": end}
        self.call(
            "lock",
            key,
            lambda: self.client.put_object_retention(
                Bucket=self.bucket, Key=key, Retention=retention, **_version(version_id)
            ),
        )

    def delete(self, key: str, version_id: str | None = None) -> None:
        """Delete one version (or set a delete marker without `version_id`). A locked version raises
        RegionRefused."""
        self.call(
            "delete",
            key,
            lambda: self.client.delete_object(Bucket=self.bucket, Key=key, **_version(version_id)),
        )

    def ensure_bucket(self) -> None:
        """Create the bucket with object lock, for local stacks; a bucket that is there is left as it is."""
        if self.describe().exists:
            return
        place: Any = {}
        if self._address.region_name != "us-east-1":
            place = {"CreateBucketConfiguration": {"LocationConstraint": self._address.region_name}}
        try:
            self.call(
                "create",
                "",
                lambda: self.client.create_bucket(
                    Bucket=self.bucket, ObjectLockEnabledForBucket=True, **place
                ),
            )
        except RegionError:
            if not self.describe().exists:  # otherwise somebody else was faster
                raise

    # -- reading ------------------------------------------------------------------------------------------

    def get(self, key: str, version_id: str | None = None) -> Iterator[bytes]:
        """The object's bytes in chunks of up to 1 MiB. A connection that breaks midway raises
        RegionUnavailable: the caller decides whether to begin again."""
        yield from self._chunks(key, self.call("read", key, partial(self._open, key, version_id)))

    def get_range(
        self, key: str, start: int, length: int, *, of: int, version_id: str | None = None
    ) -> Iterator[bytes]:
        """`length` bytes from byte `start` on of an object of `of` bytes, in chunks; errors as those of
        `get`, and IntegrityError when it has another size, RegionMisconfigured from a store that does not
        give parts."""

        def opened() -> "GetObjectOutputTypeDef":
            span = f"bytes={start}-{start + length - 1}"
            return self.client.get_object(Bucket=self.bucket, Key=key, Range=span, **_version(version_id))

        reply = self.call("read", key, opened)
        size = reply.get("ContentRange", "").rpartition("/")[2]
        if size.isdigit() and int(size) != of:
            reply["Body"].close()
            raise IntegrityError(
                f"Region {self.region} gave another size for {key}",
                expected=f"{of} bytes",
                found=f"{size} bytes",
                do="do not use it; take the copy of another region",
            )
        if reply["ContentLength"] != length:
            reply["Body"].close()
            raise RegionMisconfigured(
                f"Region {self.region} did not read a part of {self.bucket}/{key}",
                expected=f"{length} bytes from byte {start} on",
                found=f"{reply['ContentLength']} bytes",
                do="this store does not know the Range header; restore from another region",
            )
        yield from self._chunks(key, reply)

    def _open(self, key: str, version_id: str | None) -> "GetObjectOutputTypeDef":
        return self.client.get_object(Bucket=self.bucket, Key=key, **_version(version_id))

    def _chunks(self, key: str, reply: "GetObjectOutputTypeDef") -> Iterator[bytes]:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        body = reply["Body"]
        try:
            if self.limiter is None:
                yield from body.iter_chunks(CHUNK)
                return
            while chunk := body.read(self.limiter.block()):
                self.limiter.take(len(chunk))
                yield chunk
        except (BotoCoreError, HTTPError, OSError) as error:
            raise broken(self.region, self.bucket, "read", key, error) from error
        finally:
            body.close()

    def read(self, key: str, version_id: str | None = None, *, largest: int = LARGEST_READ) -> bytes:
        """A small object whole (manifests, probes). Raises IntegrityError beyond `largest` bytes."""

        def whole() -> bytes:
            found = bytearray()
            for chunk in self._chunks(key, self._open(key, version_id)):
                found += chunk
                if len(found) > largest:
                    raise IntegrityError(
                        f"{key} in region {self.region} is larger than what is read whole",
                        expected=f"at most {largest} bytes",
                        found="more",
                        do="look at its versions: somebody else may have written it",
                    )
            return bytes(found)

        return self.call("read", key, whole)

    def digest(self, key: str, version_id: str | None = None) -> tuple[str, int]:
        """SHA-256 (hex) and size of what `read` would give, in the memory of one chunk."""

        def hashed() -> tuple[str, int]:
            sha256, size = hashlib.sha256(), 0
            for chunk in self._chunks(key, self._open(key, version_id)):
                sha256.update(chunk)
                size += len(chunk)
            return sha256.hexdigest(), size

        return self.call("read", key, hashed)

    def head(self, key: str, version_id: str | None = None) -> Head:
        """Raises ObjectMissing."""
        reply = self.call(
            "look at",
            key,
            lambda: self.client.head_object(
                Bucket=self.bucket, Key=key, ChecksumMode="ENABLED", **_version(version_id)
            ),
        )
        return Head(
            size=reply["ContentLength"],
            version_id=reply.get("VersionId"),
            etag=reply.get("ETag", ""),
            lock_mode=reply.get("ObjectLockMode"),
            retain_until=reply.get("ObjectLockRetainUntilDate"),
            checksum_sha256=reply.get("ChecksumSHA256"),
            last_modified=reply.get("LastModified"),
        )

    def list(self, prefix: str) -> Iterator[Listed]:
        """Every current object under `prefix`, in key order, page by page."""
        token: str | None = None
        while True:
            page: Any = {"ContinuationToken": token} if token else {}
            reply = self.call("list", prefix, partial(self._page, prefix, page))
            for row in reply.get("Contents", []):
                yield Listed(row["Key"], row["Size"], row["LastModified"])
            token = reply.get("NextContinuationToken")
            if not token:
                return

    def _page(self, prefix: str, page: Any) -> "ListObjectsV2OutputTypeDef":
        reply = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **page)
        reply["IsTruncated"]  # always there; an empty page of something else is no empty listing
        return reply

    def list_versions(self, prefix: str) -> Iterator[ListedVersion]:
        """Every version and delete marker under `prefix`, page by page, keys in order; of one key the newest
        first within a page. Raises RegionMisconfigured where a store cannot list versions."""
        marker: dict[str, Any] | None = {}
        while marker is not None:
            rows, marker = self.call("list", prefix, partial(self._versions_page, prefix, marker))
            yield from rows

    def _versions_page(
        self, prefix: str, marker: dict[str, Any]
    ) -> tuple[Sequence[ListedVersion], dict[str, Any] | None]:
        reply = self.client.list_object_versions(Bucket=self.bucket, Prefix=prefix, **marker)
        rows = [
            ListedVersion(v["Key"], v["VersionId"], v["IsLatest"], False, v["Size"], v["LastModified"])
            for v in reply.get("Versions", [])
        ] + [
            ListedVersion(m["Key"], m["VersionId"], m["IsLatest"], True, 0, m["LastModified"])
            for m in reply.get("DeleteMarkers", [])
        ]
        rows.sort(key=lambda row: row.last_modified, reverse=True)
        rows.sort(key=lambda row: (row.key, not row.latest))
        after = {"KeyMarker": reply.get("NextKeyMarker"), "VersionIdMarker": reply.get("NextVersionIdMarker")}
        return rows, self._next(prefix, marker, after) if reply["IsTruncated"] else None

    def list_multiparts(self, prefix: str) -> Iterator[ListedUpload]:
        """Every unfinished upload in parts under `prefix`, page by page, keys in order."""
        marker: dict[str, Any] | None = {}
        while marker is not None:
            rows, marker = self.call("list", prefix, partial(self._uploads_page, prefix, marker))
            yield from rows

    def _uploads_page(
        self, prefix: str, marker: dict[str, Any]
    ) -> tuple[Sequence[ListedUpload], dict[str, Any] | None]:
        reply = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=prefix, **marker)
        rows = [ListedUpload(u["Key"], u["UploadId"], u["Initiated"]) for u in reply.get("Uploads", [])]
        after = {"KeyMarker": reply.get("NextKeyMarker"), "UploadIdMarker": reply.get("NextUploadIdMarker")}
        return rows, self._next(prefix, marker, after) if reply["IsTruncated"] else None

    def _next(self, prefix: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
        """Where the next page begins. A store whose pages do not go forward would keep us for ever."""
        after = {name: value for name, value in after.items() if value}
        if not after or after == before:
            raise RegionMisconfigured(
                f"Region {self.region} did not list {self.bucket}/{prefix} to its end",
                expected="a next page that begins after the last one",
                found=f"again {after}" if after else "no mark where the next page begins",
                do="use another store for this region, or ask its provider",
            )
        return after

    def describe(self) -> BucketFacts:
        """Whether the bucket is there, versioned, and has object lock."""
        try:
            self.call("look at", "", lambda: self.client.head_bucket(Bucket=self.bucket))
        except RegionMisconfigured as error:
            if error.found != NO_BUCKET:
                raise
            return BucketFacts(exists=False, versioning=False, object_lock=False)
        versioning = self.call("look at", "", lambda: self.client.get_bucket_versioning(Bucket=self.bucket))
        try:
            lock = self.call(
                "look at",
                "",
                lambda: self.client.get_object_lock_configuration(Bucket=self.bucket),
            )
            enabled = lock.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"
        except (RegionRefused, RegionUnavailable):
            raise
        except RegionError:
            enabled = False  # stores answer "no configuration" with an error, some do not know the question
        return BucketFacts(True, versioning.get("Status") == "Enabled", enabled)

    def told_time(self) -> datetime | None:
        """The store's clock by the `Date` of an answer, to the second; None where it sends none."""
        # Not a HEAD: its errors have no words.
        reply = self.call("look at", "", lambda: self.client.list_objects_v2(Bucket=self.bucket, MaxKeys=1))
        stamp = reply["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            told = parsedate_to_datetime(stamp)
        except (TypeError, ValueError):
            return None
        # HTTP knows no other zone; "-0000" is none to the parser.
        return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)

    # -- how calls fail -----------------------------------------------------------------------------------

    def call(self, verb: str, key: str, call: Callable[[], T]) -> T:
        """Make a request that this class has no method for (`call` uses `client`): the same retries, the same
        errors. `verb` is what it does to `key`, for the error text."""
        for attempt in Retrying(
            stop=stop_after_attempt(self._address.attempts),
            wait=wait_random_exponential(multiplier=0.2, max=_MAX_WAIT_S),
            retry=retry_if_exception_type(RegionUnavailable),
            reraise=True,
        ):
            with attempt:
                return self.once(verb, key, call)
        raise AssertionError("tenacity either returns or raises")

    def once(self, verb: str, key: str, call: Callable[[], T]) -> T:
        """`call` without retries."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            return call()
        except ClientError as error:
            raise translate(self.region, self.bucket, verb, key, error.response) from error
        except (BotoCoreError, ResponseParserError, KeyError) as error:
            # The last two: what came is no S3 answer at all (a proxy's page, or half an answer), or lacks
            # what S3 always tells.
            raise broken(self.region, self.bucket, verb, key, error) from error


def _version(version_id: str | None) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id is not None else {}


def _md5_for_crc(params: dict[str, Any], **_: Any) -> None:
    """S3 wants a checksum with this request. boto3 sends CRC32; all stores know the older Content-MD5."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
    params["context"].get("checksum", {}).pop("request_algorithm", None)
