"""A fetched object as a stream of its plain bytes: decrypted and decompressed by a thread, read by whoever
needs them. Nothing is whole in memory or on disk."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tidewatch.core.errors import IntegrityError
from tidewatch.restore.fetch import FetchedObject
from tidewatch.vault.envelope import Identities, Sealed, Sink, open_sealed

_GATHERED = 1 << 18
_WAITING = 1 << 22
_BLOCK = 1 << 20


class Handed:
    """Bytes handed from one thread to another, at most some megabytes of them waiting. A pipe would copy each
    twice more."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._ended = self._closed = False
        self._changed = threading.Condition()
        self._gathered: list[bytes] = []
        self._size = 0
        self._rest = memoryview(b"")

    # -- the thread that writes ----------------------------------------------------------------------------

    def write(self, piece: bytes) -> None:
        """Raises BrokenPipeError when nobody reads any more."""
        self._gathered.append(piece)
        self._size += len(piece)
        if self._size >= _GATHERED:
            self._hand()

    def end(self) -> None:
        """Nothing more comes."""
        self._hand()

    def _hand(self) -> None:
        data = b"".join(self._gathered)
        self._gathered, self._size = [], 0
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting < _WAITING)
            if self._closed:
                raise BrokenPipeError
            if data:
                self._pieces.append(data)
                self._waiting += len(data)
                self._changed.notify_all()

    def stop(self) -> None:
        """The reader finds the end after what was handed over."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # -- the thread that reads -----------------------------------------------------------------------------

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; empty only at the end."""
        if not self._rest:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._ended)
                if not self._pieces:
                    return b""
                piece = self._pieces.popleft()
                self._waiting -= len(piece)
                self._changed.notify_all()
            if len(piece) <= size:
                return piece
            self._rest = memoryview(piece)
        taken, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return taken

    def close(self) -> None:
        """Nobody reads any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@dataclass
class Opened:
    """The reading end. `seconds`: CPU time of the opening, complete when the context has been left."""

    stream: Handed
    seconds: float = 0.0


@contextlib.contextmanager
def opened(fetched: FetchedObject, identities: Identities, *, hashed: bool = True) -> Iterator[Opened]:
    """Read `.stream` to its end inside. On leaving, raises IntegrityError unless what passed was exactly what
    the manifest says; it goes before errors of the reader, whose cause it mostly is. `hashed`: see
    `open_into`."""
    failed: list[BaseException] = []
    told = Opened(Handed())

    def work() -> None:
        try:
            open_into(fetched, identities, told.stream.write, hashed=hashed)
            told.stream.end()
        except BaseException as error:  # noqa: BLE001 - raised by whoever reads
            failed.append(error)
        finally:
            told.stream.stop()
            told.seconds = time.thread_time()

    thread = threading.Thread(target=work, name=f"open-{fetched.entry.name}", daemon=True)
    thread.start()
    try:
        yield told
        while told.stream.read(_BLOCK):
            pass  # what the reader did not need is checked all the same
    except BaseException as error:
        told.stream.close()
        thread.join()
        if failed and isinstance(failed[0], IntegrityError):
            raise failed[0] from error
        raise
    thread.join()
    if failed:
        raise failed[0]


def open_into(fetched: FetchedObject, identities: Identities, sink: Sink, *, hashed: bool = True) -> Sealed:
    """Give the plain bytes of an object to `sink`. Raises IntegrityError when they are not those of the
    manifest: what `sink` got is worthless then. Without `hashed` only their number is compared, after the
    checks of age and zstd (docs/decisions/0031)."""
    with fetched.path.open("rb") as file:
        found = open_sealed(file, sink, *identities.items, hashed=hashed)
    entry = fetched.entry
    known = entry.plain_sha256 if hashed else ""
    if (found.plain_size, found.plain_sha256) != (entry.plain_size, known):
        raise IntegrityError(
            f"The object {entry.name} opens to other bytes",
            expected=f"{entry.plain_size} bytes with SHA-256 {entry.plain_sha256}",
            found=f"{found.plain_size} bytes with SHA-256 {found.plain_sha256 or '(not taken)'}",
            do="report a defect of Tidewatch: stored bytes and manifest agree, but not their content",
        )
    return found
