"""One probe under way: how a question asks and answers, and what is found out for the store's traits."""

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tidewatch.core.errors import RegionError
from tidewatch.core.regions import Region
from tidewatch.core.traits import Checksum, Condition

LOCK = timedelta(hours=1)
BODY = b"Tidewatch probes whether this store keeps what it promises.\n"
SHA256 = hashlib.sha256(BODY).digest()
CRC64NVME = "X4X8Hsj/Nms="
"""Of BODY, as S3 writes it."""


@dataclass(frozen=True)
class Answer:
    """One question to a region. `ok` None: it could not be asked."""

    question: str
    answer: str
    ok: bool | None
    required: bool
    detail: str = ""


@dataclass
class Asked:
    """One probe under way: the region, the present, and what was found out so far."""

    region: Region
    now: Callable[[], datetime]
    folder: str
    answers: list[Answer] = field(default_factory=list)
    conditional_put: Condition = "unknown"
    conditional_complete: Condition = "unknown"
    sha256_put: Checksum = "unknown"
    sha256_parts: Checksum = "unknown"

    def say(self, question: str, answer: str, ok: bool | None, required: bool, detail: str = "") -> None:
        self.answers.append(Answer(question, answer, ok, required, detail))

    def yes_no(self, question: str, value: bool, required: bool, detail: str = "") -> None:
        self.say(question, "yes" if value else "no", value, required, detail)

    def key(self, name: str) -> str:
        """A key that nobody has used, so that a killed probe is in nobody's way."""
        return f"{self.folder}/{name}-{secrets.token_hex(4)}"

    def call(self, verb: str, key: str, operation: str, **parameters: Any) -> Any:
        """One request past what our own store would add or hide; its errors and retries."""
        store = self.region.store
        return store.call(verb, key, lambda: self._send(key, operation, parameters))

    def call_once(self, verb: str, key: str, operation: str, **parameters: Any) -> Any:
        """`call` without retries, where a failure is an answer and no outage."""
        return self.region.store.once(verb, key, lambda: self._send(key, operation, parameters))

    def _send(self, key: str, operation: str, parameters: dict[str, Any]) -> Any:
        store = self.region.store
        return getattr(store.client, operation)(Bucket=store.bucket, Key=key, **parameters)

    def remove(self, key: str, version_id: str | None) -> None:
        with contextlib.suppress(RegionError):
            self.region.store.delete(key, version_id)

    def put(self, key: str, **parameters: str) -> str | None:
        """Write BODY as plainly as can be; the version."""
        version: str | None = self.call("write", key, "put_object", Body=BODY, **parameters).get("VersionId")
        return version

    def head(self, key: str, version_id: str | None) -> dict[str, Any]:
        """Everything that is said of one version, checksums included."""
        version = {"VersionId": version_id} if version_id is not None else {}
        reply: dict[str, Any] = self.call("look at", key, "head_object", ChecksumMode="ENABLED", **version)
        return reply

    def say_checksums(self, question: str, kinds: list[str]) -> None:
        """Which checksums the store told of an object."""
        detail = "full read-back does not rely on them"
        self.say(question, ", ".join(kinds) or "ETag only", True, False, detail)
