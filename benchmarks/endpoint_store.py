"""What the measuring endpoint holds: buckets, versions, uploads in parts, and the memory under them.

Bodies lie in slabs of one anonymous file that is mapped once: received straight into it, sent with
`sendfile`, given back and taken again without asking the system for fresh pages. Nothing is hashed, nothing
is ever written to a disk.
"""

import itertools
import mmap
import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

SLAB = 1 << 20
SMALL = 64 << 10
"""Bodies up to this many bytes are kept as they are: a slab each would waste memory."""


class Full(Exception):
    """No slab is left."""


class Arena:
    """Slabs of 1 MiB of a memory file; `reserve` bytes of it are touched at once."""

    def __init__(self, capacity: int, reserve: int) -> None:
        self.fd = os.memfd_create("endpoint")
        os.ftruncate(self.fd, capacity)
        self._map = mmap.mmap(self.fd, capacity)
        reserve = min(reserve, capacity)
        self._map[0:reserve:4096] = bytes(-(-reserve // 4096))
        self.view = memoryview(self._map)
        self._free = list(range(capacity // SLAB - 1, -1, -1))
        self._lock = threading.Lock()

    def take(self, slabs: int) -> list[int]:
        with self._lock:
            if len(self._free) < slabs:
                raise Full
            return [self._free.pop() for _ in range(slabs)]

    def give_back(self, slabs: list[int]) -> None:
        with self._lock:
            self._free.extend(reversed(slabs))


class Body:
    """Bytes of one object or one part. Its slabs return to the arena when nobody holds it any more."""

    def __init__(self, arena: Arena, size: int) -> None:
        self.size = size
        self._arena = arena
        self._small = bytearray(size) if size <= SMALL else None
        self._slabs = [] if self._small is not None else arena.take(-(-size // SLAB))

    def __del__(self) -> None:
        if getattr(self, "_slabs", None):
            self._arena.give_back(self._slabs)

    def windows(self) -> list[memoryview]:
        """Where to write the bytes, in order."""
        if self._small is not None:
            return [memoryview(self._small)]
        view, left = self._arena.view, self.size
        out = []
        for slab in self._slabs:
            size = min(SLAB, left)
            out.append(view[slab * SLAB : slab * SLAB + size])
            left -= size
        return out

    def pieces(self, start: int, end: int) -> list[memoryview | tuple[int, int]]:
        """Bytes [start, end): memory, or (offset, size) in the arena's file for `sendfile`."""
        if self._small is not None:
            return [memoryview(self._small)[start:end]]
        out: list[memoryview | tuple[int, int]] = []
        while start < end:
            index, inside = divmod(start, SLAB)
            size = min(SLAB - inside, end - start)
            out.append((self._slabs[index] * SLAB + inside, size))
            start += size
        return out


@dataclass
class Version:
    """One version of a key. Without bodies it is a delete marker."""

    version_id: str
    etag: str
    bodies: list[Body]
    checksums: dict[str, str] = field(default_factory=dict)
    """`x-amz-checksum-…` as the client sent it: believed, not computed."""
    marker: bool = False
    lock_mode: str | None = None
    retain_until: str | None = None
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def size(self) -> int:
        return sum(body.size for body in self.bodies)

    def pieces(self, start: int, end: int) -> list[memoryview | tuple[int, int]]:
        """Bytes [start, end) over all bodies."""
        out: list[memoryview | tuple[int, int]] = []
        for body in self.bodies:
            if start < body.size and end > 0:
                out += body.pieces(max(start, 0), min(end, body.size))
            start, end = start - body.size, end - body.size
        return out


@dataclass
class Upload:
    """A multipart upload that is under way."""

    key: str
    parts: dict[int, tuple[Body, str, str | None]] = field(default_factory=dict)
    """number -> body, etag, SHA-256 as sent (base64)."""


@dataclass
class Bucket:
    objects: dict[str, list[Version]] = field(default_factory=dict)
    """Newest last."""
    uploads: dict[str, Upload] = field(default_factory=dict)

    def current(self, key: str) -> Version | None:
        versions = self.objects.get(key)
        return None if not versions or versions[-1].marker else versions[-1]

    def find(self, key: str, version_id: str | None) -> Version | None:
        if version_id is None:
            return self.current(key)
        return next((v for v in self.objects.get(key, []) if v.version_id == version_id), None)


class Store:
    """All buckets behind one lock; bodies are received and sent outside of it."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.lock = threading.Lock()
        self.buckets: dict[str, Bucket] = {}
        self.calls: Counter[str] = Counter()
        self.bytes_in = self.bytes_out = 0
        self._ids = itertools.count(1)

    def new_id(self) -> str:
        return f"{next(self._ids):032x}"

    def forget(self) -> None:
        """Empty every bucket and set the counters to nought."""
        with self.lock:
            self.buckets = {name: Bucket() for name in self.buckets}
            self.calls.clear()
            self.bytes_in = self.bytes_out = 0
