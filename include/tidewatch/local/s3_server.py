"""The ASGI application of a local region: ministack's S3, alone, behind a check of every signature.

Only its S3 module is called; the rest of ministack (admin pages, other services, the MQTT listener) is
neither started nor reachable.
"""

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from tidewatch.core.clock import Clock
from tidewatch.local import sigv4

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HEALTH_PATH = "/_tidewatch/health"
"""Answered without signature; no bucket can have this name."""

_log = logging.getLogger("tidewatch.local.s3")


class RegionApp:
    """`home` holds `data/` (objects), `state/` (bucket settings), `locks.jsonl`. One instance a process."""

    def __init__(self, home: Path, keys: Mapping[str, str], instance: str, clock: Clock) -> None:
        self._keys = keys
        self._instance = instance
        self._clock = clock
        self._server = _load_server(home)
        self._s3 = self._server.s3

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == HEALTH_PATH:
            body = json.dumps({"instance": self._instance}).encode()
            await _answer(send, 200, {"Content-Type": "application/json"}, body)
            return
        content = await _read(receive)
        if content is None:
            return  # the client went away
        headers = {k.decode("latin-1").lower(): v.decode("utf-8", "replace") for k, v in scope["headers"]}
        status, answer_headers, answer = await self._respond(scope, headers, content)
        await _answer(send, status, answer_headers, answer, head=scope["method"] == "HEAD")

    async def _respond(
        self,
        scope: Scope,
        headers: dict[str, str],
        body: bytes,
    ) -> tuple[int, dict[str, str], bytes]:
        query = scope["query_string"].decode("latin-1")
        raw_path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        verdict = sigv4.check(
            sigv4.SignedRequest(scope["method"], raw_path, query, headers), self._keys, self._clock()
        )
        if isinstance(verdict, sigv4.Refusal):
            return _error(verdict.status, verdict.code, verdict.message)
        if _body_differs(headers.get("x-amz-content-sha256", ""), body):
            return _error(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        try:
            return await self._server.handle(scope["method"], scope["path"], headers, body, query, verdict)
        except Exception as error:  # noqa: BLE001 - the edge of the process: a bug becomes a 500
            _log.exception("%s %s failed", scope["method"], raw_path)
            return _error(500, "InternalError", type(error).__name__)


class _Server:
    """ministack's S3 module with durable state."""

    def __init__(self, s3: Any, app: Any, save_state: Callable[[str, Any], None]) -> None:
        self.s3 = s3
        self._app = app
        self._save_state = save_state

    async def handle(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: str,
        region: str,
    ) -> tuple[int, dict[str, str], bytes]:
        from ministack.core.responses import set_request_account_id, set_request_region

        params = parse_qs(query, keep_blank_values=True)
        set_request_account_id("")
        set_request_region(region)
        if (
            headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
            or "x-amz-decoded-content-length" in headers
        ):
            body = self._app._decode_aws_chunked_body(body, headers)
        result = await self.s3.handle_request(method, path, headers, body, params)
        if method == "HEAD" and self.s3.is_standard_object_request(method, path, headers, params):
            result = self.s3.format_head_response(path, headers, result)
        status, answer_headers, answer = result
        bucket, _, key = path.lstrip("/").partition("/")
        if method in {"PUT", "POST", "DELETE"} and status < 300:
            if key:
                self._forget_bodies(bucket, key)
            elif "delete" not in params:
                self._save_state("s3", self.s3.get_state())
        return status, answer_headers, answer if isinstance(answer, bytes) else str(answer).encode()

    def _forget_bodies(self, bucket: str, key: str) -> None:
        """The body is on disk by now; the version index would keep its copy in memory for ever."""
        for version in self.s3._object_versions.get((bucket, key)) or []:
            if version.get("data") is not None:
                version["data"] = None


def _load_server(home: Path) -> _Server:
    """Import ministack's S3 with its state under `home`; it reads its settings at import."""
    data, state = home / "data", home / "state"
    data.mkdir(parents=True, exist_ok=True)
    state.mkdir(parents=True, exist_ok=True)
    os.environ.update(S3_PERSIST="1", S3_DATA_DIR=str(data), PERSIST_STATE="1", STATE_DIR=str(state))

    from tidewatch.local.s3_state import Journal, JournaledDict, drop_unanswered_writes

    drop_unanswered_writes(data)
    from ministack import app
    from ministack.core.persistence import load_state, save_state
    from ministack.services import s3

    s3.load_persisted_state(load_state("s3"))
    journal = Journal(home / "locks.jsonl")
    stores = {
        "retention": JournaledDict("retention", journal),
        "legal_hold": JournaledDict("legal_hold", journal),
    }
    journal.open(stores)
    s3._object_retention = stores["retention"]
    s3._object_legal_hold = stores["legal_hold"]
    return _Server(s3, app, save_state)


def _body_differs(declared: str, body: bytes) -> bool:
    """A literal such as UNSIGNED-PAYLOAD or STREAMING-… promises nothing about these bytes."""
    return len(declared) == 64 and hashlib.sha256(body).hexdigest() != declared


async def _read(receive: Receive) -> bytes | None:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _answer(
    send: Send, status: int, headers: Mapping[str, str], body: bytes, *, head: bool = False
) -> None:
    lines = [(k.encode("latin-1"), str(v).encode("utf-8")) for k, v in headers.items()]
    if not head and "content-length" not in {k.lower() for k in headers}:
        lines.append((b"Content-Length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
        await asyncio.sleep(0)


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message></Error>"
    ).encode()
    return status, {"Content-Type": "application/xml"}, body
