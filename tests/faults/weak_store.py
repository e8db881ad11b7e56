"""A weak store: a real S3 server behind a proxy that takes abilities away from it.

Each switch is a weakness of stores that exist. The proxy signs what it changes anew with the region's own
credentials, so the server behind it accepts it.
"""

import http.client
import itertools
import re
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tidewatch.core.errors import RegionError
from tidewatch.core.objectstore import Address, ObjectStore
from tidewatch.core.regions import Region

_CHECKSUM = re.compile(r"^x-amz-(checksum|sdk-checksum)")
_LISTING = re.compile(r"[?&](list-type|versions|uploads|versioning|object-lock)\b")
_CHECKSUM_XML = re.compile(rb"<Checksum(SHA256|CRC64NVME|CRC32|Type|Algorithm)>[^<]*</Checksum\1>")


@dataclass
class Weaknesses:
    """What the store does not do, or does wrong."""

    ignores_conditions: bool = False
    refuses_conditions: bool = False
    knows_only_etags: bool = False
    """Checksums are neither checked nor kept nor told."""
    refuses_checksums: bool = False
    fails_attributes: bool = False
    drops_lock_headers: bool = False
    lists_no_versions: bool = False
    has_no_retention: bool = False
    has_no_versions: bool = False
    """Says nothing of versions; overwriting overwrites."""
    bare_etags: bool = False
    tells_no_time: bool = False
    ahead: timedelta = timedelta()
    """How far its clock is before ours."""
    deletes_what_is_locked: bool = False
    lifts_locks: bool = False
    """Deletes a locked version when the header says so."""
    refuses_trailers: bool = False
    wrong_size: int = 0
    """Added to the Content-Length of what is looked at."""
    cuts_downloads: bool = False
    """Announces more bytes than it sends."""


THE_WEAKEST = Weaknesses(
    ignores_conditions=True, knows_only_etags=True, fails_attributes=True, drops_lock_headers=True
)
"""Everything at once that some stores really lack."""

Hook = Callable[[str, str], "Said | None"]


@dataclass(frozen=True)
class Said:
    """An answer that the proxy gives instead of the server."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def error(cls, status: int, code: str, message: str = "-") -> "Said":
        return cls(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


class WeakStore(ThreadingHTTPServer):
    """In front of `region`. `weak` may be changed at any time; `hook` sees every request (method, target)
    before the server and may answer it; `after` sees it when the server has answered well."""

    daemon_threads = True

    def __init__(self, region: Region, weak: Weaknesses | None = None, tls: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.weak = replace(weak) if weak is not None else Weaknesses()
        self.behind = region
        self.upstream = urlsplit(region.endpoint_url or "").netloc
        self.hook: Hook = lambda method, target: None
        self.after: Callable[[str, str], None] = lambda method, target: None
        self.seen: list[str] = []
        self.lost: set[tuple[str, str]] = set()
        """Versions that the store deleted although they were locked."""
        self._tls = tls
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def region(self, **config: object) -> Region:
        """The region as clients see it; `config` changes its configuration."""
        a = self.behind.address
        scheme = "https" if self._tls is not None else "http"
        address = Address(
            f"{scheme}://127.0.0.1:{self.server_port}",
            a.region_name,
            a.access_key,
            a.secret_key,
            verify=str(self._tls) if self._tls is not None else True,
            attempts=2,
        )
        return Region(self.behind.config.model_copy(update=config), address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle are none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WeakStore

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(f"{self.command} {self.path}")
        said = self.server.hook(self.command, self.path) or self._refusal()
        if said is not None:
            self._answer(said.status, dict(said.headers), said.body)
            return
        status, headers, content = self._ask(self._weakened(), body)
        if status < 300:
            self.server.after(self.command, self.path)
        self._answer(status, *self._poorer(status, headers, content))

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

    def _refusal(self) -> Said | None:
        weak, query = self.server.weak, parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        headers = {name.lower() for name in self.headers}
        if weak.fails_attributes and "attributes" in query:
            return Said.error(500, "InternalError")
        if weak.lists_no_versions and "versions" in query:
            return Said.error(501, "NotImplemented")
        if weak.has_no_retention and {"retention", "object-lock"} & set(query):
            return Said.error(501, "NotImplemented")
        if weak.refuses_conditions and "if-none-match" in headers:
            return Said.error(501, "NotImplemented")
        if weak.refuses_checksums and any(_CHECKSUM.match(n) and "mode" not in n for n in headers):
            return Said.error(400, "InvalidArgument")
        if version := query.get("versionId"):
            what = (urlsplit(self.path).path, version[0])
            lifted = self.headers.get("x-amz-bypass-governance-retention") == "true"
            if self.command == "DELETE" and (weak.deletes_what_is_locked or (weak.lifts_locks and lifted)):
                self.server.lost.add(what)
                return Said(204)
            if what in self.server.lost:
                return Said.error(404, "NoSuchVersion")
        if weak.refuses_trailers and "x-amz-trailer" in headers:
            return Said.error(501, "NotImplemented")
        return None

    def _weakened(self) -> dict[str, str]:
        """The headers that the server behind gets to see."""
        weak = self.server.weak
        kept = {n.lower(): v for n, v in self.headers.items() if n.lower() not in {"expect", "connection"}}
        if weak.ignores_conditions:
            kept.pop("if-none-match", None)
        if weak.knows_only_etags:
            kept = {n: v for n, v in kept.items() if not _CHECKSUM.match(n)}
        if weak.drops_lock_headers:
            kept = {n: v for n, v in kept.items() if not n.startswith("x-amz-object-lock-")}
        return kept

    def _ask(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        weak = self.server.weak
        if weak.knows_only_etags and self.command == "POST":
            body = _CHECKSUM_XML.sub(b"", body)
        store = http.client.HTTPConnection(self.server.upstream, timeout=60)
        store.request(self.command, self.path, body=body, headers=self._signed(headers, body))
        reply = store.getresponse()
        content = reply.read()
        store.close()
        return reply.status, {n.lower(): v for n, v in reply.getheaders()}, content

    def _signed(self, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """The same request, signed anew: some of what was signed is gone."""
        unsigned = {
            n: v
            for n, v in headers.items()
            if n not in {"authorization", "x-amz-date", "content-length", "host", "x-amz-content-sha256"}
        }
        streaming = headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        address = self.server.behind.address
        request = AWSRequest(
            self.command, f"http://{self.server.upstream}{self.path}", headers=unsigned, data=body
        )
        if streaming:
            request.context["payload_signing_enabled"] = False
            request.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
        auth = S3SigV4Auth(Credentials(address.access_key, address.secret_key), "s3", address.region_name)
        if streaming:
            auth.payload = lambda _: headers["x-amz-content-sha256"]  # type: ignore[method-assign]
        auth.add_auth(request)
        return {**dict(request.headers.items()), "content-length": str(len(body))}

    def _poorer(self, status: int, headers: dict[str, str], content: bytes) -> tuple[dict[str, str], bytes]:
        """The answer with less in it."""
        weak = self.server.weak
        if weak.knows_only_etags:
            headers = {n: v for n, v in headers.items() if not _CHECKSUM.match(n)}
            content = _CHECKSUM_XML.sub(b"", content)
        if weak.has_no_versions:
            headers.pop("x-amz-version-id", None)
        if weak.bare_etags:
            headers = {n: v.strip('"') if n == "etag" else v for n, v in headers.items()}
            content = re.sub(
                rb"<ETag>(&quot;|\")?([^<&\"]*)(&quot;|\")?</ETag>", rb"<ETag>\2</ETag>", content
            )
        if weak.tells_no_time:
            headers.pop("date", None)
        for name in ("date", "last-modified"):
            if weak.ahead and name in headers:
                headers[name] = format_datetime(
                    parsedate_to_datetime(headers[name]) + weak.ahead, usegmt=True
                )
        if weak.wrong_size and self.command == "HEAD" and status < 300 and "/" in self.path.strip("/"):
            headers["content-length"] = str(int(headers["content-length"]) + weak.wrong_size)
        return headers, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        cut = self.server.weak.cuts_downloads and self.command == "GET" and not _LISTING.search(self.path)
        length = len(content) + (10 if cut else 0)
        self.send_header(
            "Content-Length", headers.get("content-length", "0") if self.command == "HEAD" else str(length)
        )
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def each_weakness() -> list[str]:
    """Names of the weaknesses that a right backup survives."""
    known = {f.name for f in fields(Weaknesses)}
    survived = {
        "ignores_conditions",
        "refuses_conditions",
        "knows_only_etags",
        "refuses_checksums",
        "fails_attributes",
        "drops_lock_headers",
        "bare_etags",
        "tells_no_time",
    }
    assert survived <= known
    return sorted(survived)


def interleave(
    order: Sequence[int], writers: Sequence[Callable[[ObjectStore], object]], region: Region
) -> list[object]:
    """Let each writer make one request at a time, in this order, then in turn until all have ended; what each
    returned or raised."""
    gates = [_Turns() for _ in writers]
    ends: list[object] = [None] * len(writers)

    def run(n: int) -> None:
        store = ObjectStore(region.name, region.address, region.config.bucket)
        store.client.meta.events.register("before-send.s3", lambda **_: gates[n].take())
        try:
            ends[n] = writers[n](store)
        except RegionError as error:
            ends[n] = error
        finally:
            gates[n].end()

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(writers))]
    for thread in threads:
        thread.start()
    for n in itertools.chain(order, itertools.cycle(range(len(writers)))):
        if all(gate.ended for gate in gates):
            break
        gates[n].give()
    for thread in threads:
        thread.join(30)
    return ends


class _Turns:
    """One writer's permission to send, a request at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = False
        self._may = 0
        self.ended = False

    def take(self) -> None:
        with self._changed:
            self._waiting = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._may > 0, 30)
            self._may -= 1
            self._waiting = False

    def give(self) -> None:
        """Let it send one request, and wait until it wants to send the next or has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.ended, 30)
            if not self.ended:
                self._may += 1
                self._waiting = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: (self._waiting and not self._may) or self.ended, 30)

    def end(self) -> None:
        with self._changed:
            self.ended = True
            self._changed.notify_all()
