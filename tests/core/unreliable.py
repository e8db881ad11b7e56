"""A proxy before a real store that loses answers, cuts connections or answers by itself when told to."""

import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Trouble = Literal["lose the answer", "cut before", "cut midway"]


@dataclass(frozen=True)
class Answer:
    """What the proxy says instead of the store."""

    status: int
    body: bytes = b""

    @classmethod
    def error(cls, status: int, code: str) -> "Answer":
        return cls(status, f"<Error><Code>{code}</Code><Message>-</Message></Error>".encode())


class UnreliableProxy(ThreadingHTTPServer):
    """Passes requests on to `upstream`; those that `matches` picks use up `troubles` from the front."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.troubles: list[Trouble | Answer] = []
        self.matches: Callable[[str], bool] = lambda request: True
        self.seen: list[str] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def on(self, method: str, *troubles: Trouble | Answer, containing: str = "") -> None:
        """The next requests of this method whose target contains the text meet these troubles, in order."""
        self.matches = lambda request: request.startswith(f"{method} ") and containing in request
        self.troubles = list(troubles)
        self.seen.clear()

    def trouble_for(self, request: str) -> Trouble | Answer | None:
        with self._lock:
            if not self.matches(request):
                return None
            self.seen.append(request)
            return self.troubles.pop(0) if self.troubles else None

    def handle_error(self, request: object, client_address: object) -> None:
        """Cut connections are the purpose of this server."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: UnreliableProxy

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble = self.server.trouble_for(f"{self.command} {self.path}")
        if isinstance(trouble, Answer):
            self._answer(trouble.status, {}, trouble.body)
            return
        if trouble == "cut before":
            self._cut()
            return
        status, headers, content = self._ask(body)
        if trouble == "lose the answer":
            self._cut()
        elif trouble == "cut midway":
            self._answer(status, headers, content, shown=len(content) // 2)
            self._cut()
        else:
            self._answer(status, headers, content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        store = http.client.HTTPConnection(self.server.upstream, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {"expect", "connection"}}
        store.request(self.command, self.path, body=body, headers=headers)
        reply = store.getresponse()
        content = reply.read()
        store.close()
        return reply.status, dict(reply.getheaders()), content

    def _answer(self, status: int, headers: dict[str, str], content: bytes, shown: int | None = None) -> None:
        length = headers.get("content-length") or headers.get("Content-Length") or str(len(content))
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        self.wfile.write(content[:shown])
        self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""
