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
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tidewatch.core import payload
from tidewatch.core.clock import require_utc
from tidewatch.core.errors import (
    AlreadyExists,
    ConfigError,
    ObjectMissing,
    RegionError,
    RegionMisconfigured,
    RegionRefused,
    RegionUnavailable,
)
from tidewatch.core.s3errors import NO_BUCKET, broken, translate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        GetObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
    )

T = TypeVar("T")
Bytes = bytes | bytearray | memoryview
CHUNK = 1 << 20
ATTEMPTS = 5
_MAX_WAIT_S = 20.0


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
class Stored:
    """A finished write. `version_id` is None on a bucket without versioning."""

    version_id: str | None
    etag: str


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

    def __init__(self, region: str, address: Address, bucket: str) -> None:
        self.region = region
        self.bucket = bucket
        self._address = address

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
        return payload.client(
            endpoint_url=a.endpoint_url,
            region_name=a.region_name,
            aws_access_key_id=a.access_key,
            aws_secret_access_key=a.secret_key,
            aws_session_token=a.session_token,
            verify=a.verify,
            config=config,
        )

    # -- writing ------------------------------------------------------------------------------------------

    def put(self, key: str, body: Bytes, *, sha256: bytes | None = None, if_absent: bool = True) -> Stored:
        """Write `body` whole. With `if_absent`, raises AlreadyExists when the key is taken.

        `sha256` is the raw 32-byte digest when the caller has it already; the store checks it.
        """
        digest = sha256 or hashlib.sha256(body).digest()
        checksum = base64.b64encode(digest).decode()
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        tries = 0

        def write() -> Stored:
            nonlocal tries
            tries += 1
            reply = self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=payload.body(body, digest),
                ChecksumSHA256=checksum,
                **condition,
            )
            return Stored(reply.get("VersionId"), reply["ETag"])

        try:
            return self._call("write", key, write)
        except AlreadyExists:
            # An earlier try of this very call may have been stored although its answer was lost.
            if tries > 1 and (done := self._same(key, len(body), digest)) is not None:
                return done
            raise

    def _same(self, key: str, size: int, digest: bytes) -> Stored | None:
        """What is under `key`, when it is these very bytes."""
        head = self.head(key)
        if head.size != size or hashlib.sha256(self.read(key, head.version_id)).digest() != digest:
            return None
        return Stored(head.version_id, head.etag)

    def multipart(self, key: str) -> "Multipart":
        """Begin an upload in parts; nothing is visible under `key` before `complete`."""
        upload_id = self._call(
            "begin",
            key,
            lambda: self.client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ChecksumAlgorithm="SHA256"
            )["UploadId"],
        )
        return Multipart(self, key, upload_id)

    def abort_multipart(self, key: str, upload_id: str) -> None:
        """Forget an unfinished upload and its parts. Raises RegionError; one that is gone is no error."""
        with contextlib.suppress(ObjectMissing):
            self._call(
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
        self._call(
            "lock",
            key,
            lambda: self.client.put_object_retention(
                Bucket=self.bucket, Key=key, Retention=retention, **_version(version_id)
            ),
        )

    def delete(self, key: str, version_id: str | None = None) -> None:
        """Delete one version (or set a delete marker without `version_id`). A locked version raises
        RegionRefused."""
        self._call(
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
            self._call(
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
        yield from self._chunks(key, self._call("read", key, partial(self._open, key, version_id)))

    def _open(self, key: str, version_id: str | None) -> "GetObjectOutputTypeDef":
        return self.client.get_object(Bucket=self.bucket, Key=key, **_version(version_id))

    def _chunks(self, key: str, reply: "GetObjectOutputTypeDef") -> Iterator[bytes]:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        body = reply["Body"]
        try:
            yield from body.iter_chunks(CHUNK)
        except (BotoCoreError, HTTPError, OSError) as error:
            raise broken(self.region, self.bucket, "read", key, error) from error
        finally:
            body.close()

    def read(self, key: str, version_id: str | None = None) -> bytes:
        """A small object whole (manifests, probes)."""
        return self._call("read", key, lambda: b"".join(self._chunks(key, self._open(key, version_id))))

    def digest(self, key: str, version_id: str | None = None) -> tuple[str, int]:
        """SHA-256 (hex) and size of what `read` would give, in the memory of one chunk."""

        def hashed() -> tuple[str, int]:
            sha256, size = hashlib.sha256(), 0
            for chunk in self._chunks(key, self._open(key, version_id)):
                sha256.update(chunk)
                size += len(chunk)
            return sha256.hexdigest(), size

        return self._call("read", key, hashed)

    def head(self, key: str, version_id: str | None = None) -> Head:
        """Raises ObjectMissing."""
        reply = self._call(
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
            reply = self._call("list", prefix, partial(self._page, prefix, page))
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
            rows, marker = self._call("list", prefix, partial(self._versions_page, prefix, marker))
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
            rows, marker = self._call("list", prefix, partial(self._uploads_page, prefix, marker))
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
            self._call("look at", "", lambda: self.client.head_bucket(Bucket=self.bucket))
        except RegionMisconfigured as error:
            if error.found != NO_BUCKET:
                raise
            return BucketFacts(exists=False, versioning=False, object_lock=False)
        versioning = self._call("look at", "", lambda: self.client.get_bucket_versioning(Bucket=self.bucket))
        try:
            lock = self._call(
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

    # -- how calls fail -----------------------------------------------------------------------------------

    def _call(self, verb: str, key: str, call: Callable[[], T]) -> T:
        for attempt in Retrying(
            stop=stop_after_attempt(self._address.attempts),
            wait=wait_random_exponential(multiplier=0.2, max=_MAX_WAIT_S),
            retry=retry_if_exception_type(RegionUnavailable),
            reraise=True,
        ):
            with attempt:
                return self._once(verb, key, call)
        raise AssertionError("tenacity either returns or raises")

    def _once(self, verb: str, key: str, call: Callable[[], T]) -> T:
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


@dataclass(frozen=True)
class _Sent:
    size: int
    etag: str
    sha256: bytes


class Multipart:
    """An upload in parts. Parts may be sent from one thread at a time."""

    def __init__(self, store: ObjectStore, key: str, upload_id: str) -> None:
        self._store = store
        self.key = key
        self.upload_id = upload_id
        self._parts: dict[int, _Sent] = {}

    def part(self, number: int, body: Bytes, sha256: bytes) -> None:
        """Send part `number` (from 1; all but the last at least 5 MiB). The store checks `sha256`."""
        checksum = base64.b64encode(sha256).decode()
        s = self._store
        etag = s._call(
            "write",
            self.key,
            lambda: s.client.upload_part(
                Bucket=s.bucket,
                Key=self.key,
                UploadId=self.upload_id,
                PartNumber=number,
                Body=payload.body(body, sha256),
                ChecksumSHA256=checksum,
            )["ETag"],
        )
        self._parts[number] = _Sent(len(body), etag, sha256)

    def complete(self, *, if_absent: bool = True) -> Stored:
        """Make the object visible. With `if_absent`, raises AlreadyExists when the key is taken."""
        s = self._store
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": n, "ETag": p.etag, "ChecksumSHA256": base64.b64encode(p.sha256).decode()}
            for n, p in sorted(self._parts.items())
        ]
        tries = 0

        def finish() -> Stored:
            nonlocal tries
            tries += 1
            reply = s.client.complete_multipart_upload(
                Bucket=s.bucket,
                Key=self.key,
                UploadId=self.upload_id,
                MultipartUpload={"Parts": parts},
                **condition,
            )
            return Stored(reply.get("VersionId"), reply["ETag"])

        try:
            return s._call("complete", self.key, finish)
        except (AlreadyExists, ObjectMissing):
            # An earlier try of this very call may have finished the upload although its answer was lost.
            if tries > 1 and (done := self._finished()) is not None:
                return done
            raise

    def _finished(self) -> Stored | None:
        """What is under the key, when its size and (where the store tells one) its checksum are ours."""
        try:
            head = self._store.head(self.key)
        except ObjectMissing:
            return None
        parts = [p for _, p in sorted(self._parts.items())]
        digest = hashlib.sha256(b"".join(p.sha256 for p in parts)).digest()
        ours = base64.b64encode(digest).decode()
        theirs = (head.checksum_sha256 or ours).partition("-")[0]
        if head.size != sum(p.size for p in parts) or theirs != ours:
            return None
        return Stored(head.version_id, head.etag)

    def abort(self) -> None:
        """Forget the parts. Raises RegionError; a second call is harmless."""
        self._store.abort_multipart(self.key, self.upload_id)


def _version(version_id: str | None) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id is not None else {}
