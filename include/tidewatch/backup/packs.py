"""Packs: PAX tars whose members are named by the SHA-256 of their content.

A pack is produced as a stream that is pulled, so that nothing is ever whole in memory or on disk. A pack and
the same files give the same bytes: members carry no owner, no mode, no time.
"""

import tarfile
from collections.abc import Iterator

_BLOCK = tarfile.BLOCKSIZE
_RECORD = tarfile.RECORDSIZE


def member_header(name: str, size: int) -> bytes:
    """The header blocks of a member; sizes over 8 GiB get a PAX header."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o600
    info.mtime = 0
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """What follows `size` bytes of content to fill its last block."""
    return b"\0" * (-size % _BLOCK)


def trailer(written: int) -> bytes:
    """The end of a tar of `written` bytes: two empty blocks, filled up to a whole record."""
    return b"\0" * (2 * _BLOCK + -(written + 2 * _BLOCK) % _RECORD)


def member_size(size: int) -> int:
    """Bytes that content of `size` takes in a pack (the rare PAX header apart)."""
    return _BLOCK + size + len(padding(size))


class PullReader:
    """A binary stream over chunks: `read(n)` gives up to n bytes, b"" at the end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            return bytes(self._rest) + b"".join(self._chunks)
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    def readable(self) -> bool:
        return True
