"""A TCP proxy in front of a real region, to make it slow, silent or dead at a chosen byte."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tidewatch.core.objectstore import Address
from tidewatch.core.regions import Region

_BLOCK = 64 * 1024


class RegionProxy:
    """Forwards bytes between clients and `region`. Faults apply to what flows towards the region."""

    def __init__(self, region: Region) -> None:
        parts = urlsplit(region.endpoint_url or "")
        self._target = (parts.hostname or "", parts.port or 80)
        self._region = region
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._rate: float | None = None
        self._trigger: tuple[int, Callable[[], None]] | None = None
        self._refusing = False
        self._closed = False
        self._due = 0.0
        self.forwarded = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self.cut()
        self._server.close()

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._server.getsockname()[1])

    def region(self, *, read_timeout_s: float = 60.0, attempts: int = 5) -> Region:
        """The region as clients see it through the proxy."""
        a = self._region.address
        return Region(
            self._region.config,
            Address(
                f"http://127.0.0.1:{self.port}",
                a.region_name,
                a.access_key,
                a.secret_key,
                read_timeout_s=read_timeout_s,
                attempts=attempts,
            ),
        )

    def throttle(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second

    def hang(self) -> None:
        """Connections stay open, nothing flows any more."""
        self._open.clear()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self._refusing = True
        self._open.set()
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def heal(self) -> None:
        self._refusing = False
        self._rate = None
        self._open.set()

    def after(self, forwarded: int, action: Callable[[], None]) -> None:
        """Call `action` once that many bytes went to the region."""
        self._trigger = (forwarded, action)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                upstream = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._sockets |= {client, upstream}
            threading.Thread(target=self._pump, args=(client, upstream, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(upstream, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, upwards: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_BLOCK):
                self._open.wait()
                if upwards:
                    self._brake(len(data))
                    self._count(len(data))
                    self._open.wait()
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _brake(self, size: int) -> None:
        if self._rate is None:
            return
        now = time.monotonic()
        self._due = max(self._due, now) + size / self._rate
        if self._due - now > 0.005:  # shorter naps would take longer than asked for
            time.sleep(self._due - now)

    def _count(self, size: int) -> None:
        self.forwarded += size
        if self._trigger is not None and self.forwarded >= self._trigger[0]:
            _, action = self._trigger
            self._trigger = None
            action()
