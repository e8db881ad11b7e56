"""The head of an archive of pg_dump in custom format, and where its blocks of data begin and end.

The head lists every object (the table of contents); the blocks follow in the order of that list, each with
the number of its entry. pg_restore reads all of this itself: we only look where to cut, so that several of it
can load at once what comes out of one stream. Formats 1.14 to 1.16 are those of PostgreSQL 12 to 18.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from tidewatch.core.errors import IntegrityError, UnsupportedVersion

_OLDEST, _NEWEST = (1, 14), (1, 16)
_CUSTOM = 1
_DATA, _BLOBS = 1, 3
_NO_DATA = 3
_BLOCK = 1 << 20


class Stream(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; fewer only at the end."""


@dataclass(frozen=True)
class Entry:
    """One line of the table of contents. `section`: pre-data, data or post-data."""

    number: int
    tag: str
    kind: str
    section: str
    definition: str
    namespace: str
    tablespace: str
    owner: str
    needs: tuple[int, ...]
    has_block: bool
    copy: str
    """The statement that takes the rows, and `copy_at`, where in the head it stands."""
    copy_at: int


@dataclass(frozen=True)
class Head:
    """Everything before the first block. `raw`: its bytes, an archive by itself that holds no rows."""

    raw: bytes = field(repr=False)
    int_size: int
    database: str
    entries: tuple[Entry, ...]

    def of_kind(self, kind: str) -> list[Entry]:
        return [e for e in self.entries if e.kind == kind]

    def into_new(self, made: set[int]) -> "Head":
        """The same head, for tables that nobody has seen yet (`made`: their numbers): each is emptied in the
        transaction that fills it. So rows need not go through the log as well where `wal_level` is minimal,
        which is what `pg_restore --jobs` does itself, and are written as the next VACUUM would leave them."""
        raw, done = [], 0
        for entry in self.entries:
            found = _COPY.fullmatch(entry.copy)
            if found is None or entry.kind != "TABLE DATA" or made.isdisjoint(entry.needs[:1]):
                continue  # not a table of ours: one of an extension has rows already
            if (_plain(found["schema"]), _plain(found["table"])) != (entry.namespace, entry.tag):
                continue  # rows of a partition that go to the table above it
            table, columns = f"{found['schema']}.{found['table']}", found["columns"] or ""
            text = f"TRUNCATE TABLE ONLY {table}; COPY {table} {columns}FROM stdin WITH (FREEZE);\n"
            raw += [self.raw[done : entry.copy_at], _string(text, self.int_size)]
            done = entry.copy_at + len(_string(entry.copy, self.int_size))
        return replace(self, raw=b"".join([*raw, self.raw[done:]]))


_NAME = r'(?:"(?:[^"]|"")+"|[^\s".(]+)'
_COPY = re.compile(
    rf"COPY (?P<schema>{_NAME})\.(?P<table>{_NAME}) (?P<columns>\(.+\) )?FROM stdin;\n", re.DOTALL
)


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _string(text: str, int_size: int) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return b"\0" + len(data).to_bytes(int_size, "little") + data


_SECTIONS = {2: "pre-data", 3: "data", 4: "post-data"}


class _Reading:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._data = bytearray()
        self.at = 0
        self.int_size = 4
        self.offset_size = 8

    def take(self, size: int) -> bytes:
        while len(self._data) - self.at < size:
            more = self._stream.read(_BLOCK)
            if not more:
                raise _damaged("its end in the middle of the table of contents")
            self._data += more
        self.at += size
        return bytes(self._data[self.at - size : self.at])

    def byte(self) -> int:
        return self.take(1)[0]

    def integer(self) -> int:
        sign = self.byte()
        value = int.from_bytes(self.take(self.int_size), "little")
        return -value if sign else value

    def text(self) -> str | None:
        size = self.integer()
        return None if size < 0 else self.take(size).decode("utf-8", "surrogateescape")

    def done(self) -> tuple[bytes, bytes]:
        """What was taken, and what was read beyond it."""
        return bytes(self._data[: self.at]), bytes(self._data[self.at :])


def read_head(stream: Stream) -> tuple[Head, bytes]:
    """The head, and the bytes after it that were read already.

    Raises UnsupportedVersion, IntegrityError (not an archive in custom format).
    """
    r = _Reading(stream)
    if r.take(5) != b"PGDMP":
        raise _damaged("bytes that do not begin with PGDMP")
    version = (r.byte(), r.byte())
    r.byte()
    if not _OLDEST <= version <= _NEWEST:
        raise UnsupportedVersion(
            f"The archive is of format {version[0]}.{version[1]}",
            expected=f"{_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]}, those of PostgreSQL 12 to 18",
            found=f"{version[0]}.{version[1]}",
            do="upgrade Tidewatch, or open it with stock tools (docs/restore-by-hand.md)",
        )
    r.int_size, r.offset_size = r.byte(), r.byte()
    if r.byte() != _CUSTOM:
        raise _damaged("another format than custom")
    _ = r.byte() if version >= (1, 15) else r.integer()  # compression
    for _ in range(7):
        r.integer()  # when it was made
    database = r.text() or ""
    r.text(), r.text()
    entries: list[Entry] = []
    section = "pre-data"
    for _ in range(r.integer()):
        entry = _entry(r, version)
        # Comments and privileges belong to the section in which they stand.
        section = entry.section or section
        entries.append(replace(entry, section=section))
    raw, rest = r.done()
    return Head(raw, r.int_size, database, tuple(entries)), rest


def _entry(r: _Reading, version: tuple[int, int]) -> Entry:
    number = r.integer()
    r.integer()  # whether there is something that dumps it: the offset says so too
    r.text(), r.text()
    tag, kind, section = r.text() or "", r.text() or "", r.integer()
    definition = r.text() or ""
    r.text()
    copy_at = r.at
    copy = r.text() or ""
    namespace, tablespace = r.text() or "", r.text() or ""
    r.text()
    if version >= (1, 16):
        r.integer()
    owner = r.text() or ""
    r.text()
    needs = []
    while (need := r.text()) is not None:
        needs.append(int(need))
    state = r.byte()
    r.take(r.offset_size)
    return Entry(
        number, tag, kind, _SECTIONS.get(section, ""), definition, namespace, tablespace, owner,
        tuple(needs), state != _NO_DATA, copy, copy_at,
    )  # fmt: skip


@dataclass(frozen=True)
class Begin:
    """A block begins: the number of its entry."""

    number: int


@dataclass(frozen=True)
class End:
    """The block ends here."""


Piece = Begin | End | bytes


def pieces(head: Head, rest: bytes, stream: Stream) -> Iterator[Piece]:
    """The blocks after the head, cut where they begin and end; their bytes are handed on as they are, the
    head of each block included. Raises IntegrityError when the archive does not end after a block."""
    size, integer = head.int_size, struct.Struct("<i")
    if size != integer.size:
        raise _damaged(f"integers of {size} bytes")
    step, size_of = 1 + size, struct.Struct("<I").unpack_from
    buffer, at, sent = rest, 0, 0
    inside, blobs, in_blob = False, False, False
    skip = 0
    while True:
        # Everything from `sent` to `at` was looked at and belongs to the block that is open.
        if skip > 0:
            here = min(skip, len(buffer) - at)
            at += here
            skip -= here
        if skip > 0 or len(buffer) - at < 2 * step:
            more = stream.read(_BLOCK)
            if more:
                if at > sent:
                    yield buffer[sent:at]
                buffer, at, sent = buffer[at:] + more, 0, 0
                continue
            if skip > 0:
                raise _damaged("its end in the middle of a block")
        if at == len(buffer):
            if inside:
                raise _damaged("its end in the middle of a block")
            return
        if not inside:
            kind = buffer[at]
            if kind not in (_DATA, _BLOBS) or len(buffer) - at < 1 + step:
                raise _damaged("something else where a block must begin")
            yield Begin(integer.unpack_from(buffer, at + 2)[0])
            inside, blobs, in_blob = True, kind == _BLOBS, False
            at += 1 + step
            continue
        if len(buffer) - at < step:
            raise _damaged("its end in the middle of a block")
        value = size_of(buffer, at + 1)[0]
        at += step
        if blobs and not in_blob:
            in_blob = value != 0
            inside = value != 0
        elif value == 0:
            in_blob = False
            inside = blobs
        else:
            # A chunk is as little as one row: this loop is what a million of them cost.
            at += value
            while at <= len(buffer) - step and (value := size_of(buffer, at + 1)[0]):
                at += step + value
            skip = max(0, at - len(buffer))
            at -= skip
        if not inside:
            yield buffer[sent:at]
            sent = at
            yield End()


def _damaged(found: str) -> IntegrityError:
    return IntegrityError(
        "The dump is not an archive that can be loaded",
        expected="an archive of pg_dump in custom format, complete",
        found=found,
        do="open it with stock tools (docs/restore-by-hand.md) and report a defect of Tidewatch",
    )
