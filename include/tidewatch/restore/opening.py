"""A fetched object as a stream of its plain bytes: decrypted and decompressed by a thread, read by whoever
needs them. Nothing is whole in memory or on disk."""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tidewatch.core.errors import IntegrityError
from tidewatch.restore.fetch import FetchedObject
from tidewatch.vault.envelope import Identities, Sealed, Sink, open_sealed

_PIPE_SIZE = 1 << 20
_GATHERED = 1 << 18


@dataclass
class Opened:
    """The reading end. `seconds`: CPU time of the opening, complete when the context has been left."""

    stream: BinaryIO
    seconds: float = 0.0


@contextlib.contextmanager
def opened(fetched: FetchedObject, identities: Identities) -> Iterator[Opened]:
    """Read `.stream` to its end inside. On leaving, raises IntegrityError unless what passed was exactly what
    the manifest says; it goes before errors of the reader, whose cause it mostly is."""
    reading, writing = os.pipe()
    with contextlib.suppress(AttributeError, OSError):  # Linux; a user may hold so many pages only
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    failed: list[BaseException] = []
    told = Opened(os.fdopen(reading, "rb"))

    def work() -> None:
        try:
            with _Pipe(writing) as pipe:
                open_into(fetched, identities, pipe.write)
                pipe.flush()
        except BaseException as error:  # noqa: BLE001 - raised by whoever reads
            failed.append(error)
        told.seconds = time.thread_time()

    thread = threading.Thread(target=work, name=f"open-{fetched.entry.name}", daemon=True)
    thread.start()
    try:
        yield told
        while told.stream.read(1 << 20):
            pass  # what the reader did not need is checked all the same
    except BaseException as error:
        told.stream.close()
        thread.join()
        if failed and isinstance(failed[0], IntegrityError):
            raise failed[0] from error
        raise
    told.stream.close()
    thread.join()
    if failed:
        raise failed[0]


class _Pipe:
    """The writing end: small pieces are gathered."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pieces: list[bytes] = []
        self._size = 0

    def __enter__(self) -> "_Pipe":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def write(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _GATHERED:
            self.flush()

    def flush(self) -> None:
        view = memoryview(b"".join(self._pieces))
        self._pieces, self._size = [], 0
        while view:
            view = view[os.write(self._descriptor, view) :]


def open_into(fetched: FetchedObject, identities: Identities, sink: Sink) -> Sealed:
    """Give the plain bytes of an object to `sink`. Raises IntegrityError when they are not those of the
    manifest: what `sink` got is worthless then."""
    with fetched.path.open("rb") as file:
        found = open_sealed(file, sink, *identities.items)
    entry = fetched.entry
    if (found.plain_size, found.plain_sha256) != (entry.plain_size, entry.plain_sha256):
        raise IntegrityError(
            f"The object {entry.name} opens to other bytes",
            expected=f"{entry.plain_size} bytes with SHA-256 {entry.plain_sha256}",
            found=f"{found.plain_size} bytes with SHA-256 {found.plain_sha256}",
            do="report a defect of Tidewatch: stored bytes and manifest agree, but not their content",
        )
    return found
