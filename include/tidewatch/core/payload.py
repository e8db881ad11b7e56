"""The body of one upload request, for botocore: bytes whose SHA-256 is known before.

botocore hashes a body once more to sign the request (always over http), and urllib3 sends a file in steps of
16 KiB. One part goes to several regions, so both would be paid several times for the same bytes.
"""

import threading
from functools import cache
from typing import IO, TYPE_CHECKING, Any, cast

from tidewatch.core.bandwidth import Limiter

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_s3 import S3Client

_BLOCK = 1 << 20
_SIGNATURE = "tidewatch-s3v4"
_making = threading.Lock()


class Payload:
    """Looks like an open file over `data`, without copying it. `sha256` is its digest, 32 bytes."""

    def __init__(
        self, data: bytes | bytearray | memoryview, sha256: bytes, limiter: Limiter | None = None
    ) -> None:
        self.sha256 = sha256
        self._limiter = limiter
        self._view = memoryview(data)
        self._at = 0

    def __len__(self) -> int:
        return len(self._view)

    def read(self, size: int = -1) -> memoryview:
        """The next megabyte, whatever `size`: every byte that leaves for a region passes here."""
        block = self._view[self._at : self._at + (self._limiter.block() if self._limiter else _BLOCK)]
        self._at += len(block)
        if self._limiter is not None:
            self._limiter.take(len(block))
        return block

    def tell(self) -> int:
        return self._at

    def seek(self, place: int, whence: int = 0) -> int:
        """From the beginning (0), from here (1), from the end (2), as files do."""
        self._at = place + (0, self._at, len(self._view))[whence]
        return self._at


def body(data: bytes | bytearray | memoryview, sha256: bytes, limiter: Limiter | None = None) -> "IO[bytes]":
    """`Payload` as what boto3's type stubs ask for; each step waits for `limiter`."""
    return cast("IO[bytes]", Payload(data, sha256, limiter))


def client(**settings: Any) -> "S3Client":
    """An S3 client that signs a `Payload` by the digest it brings. `settings` are those of boto3.

    All clients share one session: each would read the description of S3 anew, 0.1 s and 12 MiB.
    """
    with _making:  # a session makes one client at a time; clients are safe to share
        made = _session().client("s3", **settings)
    for call in ("PutObject", "UploadPart"):
        made.meta.events.register(f"choose-signer.s3.{call}", _choose)
    return made


@cache
def _session() -> "Session":
    import boto3
    from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

    class KnownDigest(S3SigV4Auth):
        def payload(self, request: Any) -> str:
            body = request.body
            return body.sha256.hex() if isinstance(body, Payload) else str(super().payload(request))

    AUTH_TYPE_MAPS[_SIGNATURE] = KnownDigest
    return boto3.session.Session()


def _choose(signature_version: str, **_: Any) -> Any:
    return _SIGNATURE if signature_version in {"v4", "s3v4"} else None
