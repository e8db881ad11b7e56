"""HTTP as the measuring endpoint needs it: heads, bodies straight into memory, and a little XML."""

import os
import re
import socket
from datetime import datetime
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from endpoint_store import Body, Store, Version

_HEAD_LIMIT = 64 << 10


class Request:
    """One request: its head is read, its body is taken by `body`."""

    def __init__(self, wire: "Wire", head: bytes) -> None:
        self.wire = wire
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, target, _ = first.split(" ", 2)
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}
        path, _, query = target.partition("?")
        self.bucket, _, self.key = unquote(path.lstrip("/")).partition("/")
        self.query = dict(parse_qsl(query, keep_blank_values=True))
        self._taken = False

    def body(self, store: Store) -> Body:
        """The payload, without the frame of `aws-chunked`."""
        self._taken = True
        if self.headers.get("expect"):
            self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        framed = "aws-chunked" in self.headers.get("content-encoding", "") or self.headers.get(
            "x-amz-content-sha256", ""
        ).startswith("STREAMING")
        size = int(self.headers.get("x-amz-decoded-content-length" if framed else "content-length", 0))
        body = Body(store.arena, size)
        self.wire.receive(body.windows(), framed=framed)
        store.bytes_in += size
        return body

    def text(self, store: Store) -> str:
        return b"".join(bytes(w) for w in self.body(store).windows()).decode()

    def drain(self, store: Store) -> None:
        """Read a body that nobody asked for, so that the next request begins where it should."""
        if not self._taken and int(self.headers.get("content-length", 0)):
            self.body(store)


class Wire:
    """A socket with the few bytes that were read too far."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ahead = b""

    def head(self) -> bytes | None:
        """Up to the empty line; None at the end of the connection."""
        while (end := self._ahead.find(b"\r\n\r\n")) < 0:
            more = self._sock.recv(_HEAD_LIMIT)
            if not more or len(self._ahead) > _HEAD_LIMIT:
                return None
            self._ahead += more
        head, self._ahead = self._ahead[:end], self._ahead[end + 4 :]
        return head

    def _line(self) -> bytes:
        while (end := self._ahead.find(b"\r\n")) < 0:
            more = self._sock.recv(1024)
            if not more:
                raise ConnectionError
            self._ahead += more
        line, self._ahead = self._ahead[:end], self._ahead[end + 2 :]
        return line

    def _fill(self, window: memoryview) -> None:
        ahead = self._ahead[: len(window)]
        window[: len(ahead)] = ahead
        self._ahead = self._ahead[len(ahead) :]
        rest = window[len(ahead) :]
        while rest:
            got = self._sock.recv_into(rest, len(rest), socket.MSG_WAITALL)
            if not got:
                raise ConnectionError
            rest = rest[got:]

    def receive(self, windows: list[memoryview], *, framed: bool) -> None:
        if not framed:
            for window in windows:
                self._fill(window)
            return
        pending = list(reversed(windows))
        while size := int(self._line().partition(b";")[0], 16):
            while size:
                window = pending.pop()
                self._fill(window[:size])
                if size < len(window):
                    pending.append(window[size:])
                size -= min(size, len(window))
            self._line()
        while self._line():
            pass  # trailing headers: a checksum that nobody compares

    def send(self, data: bytes | memoryview) -> None:
        self._sock.sendall(data)

    def send_file(self, fd: int, offset: int, size: int) -> None:
        while size:
            sent = os.sendfile(self._sock.fileno(), fd, offset, size)
            offset, size = offset + sent, size - sent


def xml(name: str, inside: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><{name}>{inside}</{name}>'.encode()


def row(key: str, version: Version) -> str:
    return (
        f"<Key>{escape(key)}</Key><Size>{version.size}</Size><ETag>{version.etag}</ETag>"
        f"<LastModified>{timestamp(version.modified)}</LastModified><StorageClass>STANDARD</StorageClass>"
    )


def timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def tag(text: str, name: str) -> str | None:
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found.group(1) if found else None


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")


def checksums(headers: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.startswith("x-amz-checksum-") and not k.endswith("-mode")}
