"""An upload in parts, as `ObjectStore.multipart` begins it."""

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidewatch.core import payload
from tidewatch.core.errors import AlreadyExists, ObjectMissing

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from tidewatch.core.objectstore import ObjectStore

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Stored:
    """A finished write. `version_id` is None on a bucket without versioning."""

    version_id: str | None
    etag: str


@dataclass(frozen=True)
class _Sent:
    size: int
    etag: str
    sha256: bytes


class Multipart:
    """An upload in parts. Parts may be sent from one thread at a time."""

    def __init__(self, store: "ObjectStore", key: str, upload_id: str) -> None:
        self._store = store
        self.key = key
        self.upload_id = upload_id
        self._parts: dict[int, _Sent] = {}
        self._bare = store.traits.sha256_parts == "refused"

    def part(self, number: int, body: Bytes, sha256: bytes) -> None:
        """Send part `number` (from 1; all but the last at least 5 MiB). The store checks `sha256`."""
        s = self._store
        checksum: Any = {} if self._bare else {"ChecksumSHA256": base64.b64encode(sha256).decode()}
        etag = s.call(
            "write",
            self.key,
            lambda: s.client.upload_part(
                Bucket=s.bucket,
                Key=self.key,
                UploadId=self.upload_id,
                PartNumber=number,
                Body=payload.body(body, sha256, s.limiter),
                **checksum,
            )["ETag"],
        )
        self._parts[number] = _Sent(len(body), etag, sha256)

    def complete(self, *, if_absent: bool = True) -> Stored:
        """Make the object visible. With `if_absent`, raises AlreadyExists when the key is taken."""
        s = self._store
        condition: dict[str, Any] = {}
        if if_absent and s.traits.conditional_complete != "refused":
            condition["IfNoneMatch"] = "*"
        parts = [self._completed(number, part) for number, part in sorted(self._parts.items())]
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
            return s.call("complete", self.key, finish)
        except (AlreadyExists, ObjectMissing):
            # An earlier try of this very call may have finished the upload although its answer was lost.
            if tries > 1 and (done := self._finished()) is not None:
                return done
            raise

    def _completed(self, number: int, part: _Sent) -> "CompletedPartTypeDef":
        if self._bare:
            return {"PartNumber": number, "ETag": part.etag}
        checksum = base64.b64encode(part.sha256).decode()
        return {"PartNumber": number, "ETag": part.etag, "ChecksumSHA256": checksum}

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
