"""Files that others read while they are replaced: whole or not at all, also after a power cut."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidewatch.core.errors import Busy


def replace_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write `data` to `path` in one step. The mode is that of the file that is there, else `mode`.

    Of two writers at once the second waits for the first, and its file stays, whole. Where the new content
    depends on the old one, writers need a lock around reading and writing. What a killed write left beside it
    (`.<name>.partial`) is removed by the next one. Raises OSError.
    """
    partial = path.with_name(f".{path.name}.partial")
    with os.fdopen(_for_us_alone(partial), "wb") as file:
        if path.exists():
            mode = path.stat().st_mode & 0o7777
        file.write(data)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
        move(partial, path)


def _for_us_alone(partial: Path) -> int:
    """A descriptor of a new, empty, locked file of mode 600 at `partial`; waits while another writer has one
    there. Never one that was there before: somebody may be reading that."""
    while True:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            ours = os.fstat(descriptor)
            if ours.st_nlink and _same(partial, ours):  # else its writer has renamed or removed it meanwhile
                if ours.st_size == 0 and ours.st_mode & 0o077 == 0:
                    return descriptor
                partial.unlink()  # its writer is dead: the lock was free
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _same(path: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), file)
    except FileNotFoundError:
        return False


def move(source: Path, target: Path) -> None:
    """Rename within one directory, in one step, and keep it after a power cut."""
    source.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def directory_lock(directory: Path) -> Iterator[None]:
    """Nobody else is inside for the same directory. It ends with the process, and leaves no file behind.

    Raises Busy at once while another process holds it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"Another process is changing the files in {directory}",
                expected="one at a time",
                found="a lock that somebody holds",
                do="wait until it has ended, look at what it did (`tidewatch keys list`), then go on",
            ) from None
        yield
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, mode 600 from the first byte on."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
