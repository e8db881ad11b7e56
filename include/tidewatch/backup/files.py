"""A files source: every path listed, every content that is new packed once.

Contents are known by their SHA-256. What a sealed backup holds already is referenced, not sent again; the
rest goes into packs of at most 256 MiB of plaintext. A content of up to 8 MiB is read once, into memory, so
what is hashed is what is packed. A larger one is hashed first and packed alone: should it change between the
two readings, its pack is given up and the file read again, without harm to others.

A file that changes while it is read is tried again after all others, three times in all; then the backup
fails and names it. Timestamps of the kernel are a few milliseconds coarse: a write into a small file within
the same tick as our look at it, leaving its size alone, is the one change that can go unnoticed.

Empty files have no content to store. The names of a file with several (hard links) share one content: it is
read once, and when it was not the same at the second name, all its names are read again.

What took the place of a file is backed up in its stead, a directory with all that is below it. What appears
in a directory after its names were read belongs to the next backup.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from tidewatch.backup.packs import PullReader, member_header, member_size, padding, trailer
from tidewatch.backup.trees import Changed, Found, Notes, Tree, Vanished
from tidewatch.core.errors import IntegrityError, SourceChanged, SourceEmpty
from tidewatch.core.progress import Progress, human_bytes

MIB = 1024 * 1024
IN_MEMORY = 8 * MIB
PACK_SIZE = 256 * MIB
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry as it goes into the manifest; `sha256` for files."""

    found: Found
    sha256: str | None


@dataclass(frozen=True, slots=True)
class _Content:
    """Content that has to be packed; `body` is None for what is streamed from the tree."""

    found: Found
    name: str
    """Its SHA-256."""
    body: bytes | None

    @property
    def size(self) -> int:
        return self.found.size


@dataclass
class Pack:
    """One pack to upload: read `reader` to its end, then call `Capture.packed`, or `given_up` after
    Changed.
    """

    number: int
    reader: PullReader = field(init=False)
    contents: list[str] = field(default_factory=list)
    """SHA-256 of what is in it."""

    largest: int = 0
    """Bytes of its first content, which is the only one if it is large."""

    @property
    def name(self) -> str:
        return f"pack-{self.number:05d}.tar.zst.age"


class Capture:
    """One walk over a tree. Iterate `packs()`, then take `listing` and `placed`."""

    def __init__(
        self,
        tree: Tree,
        known: Collection[str],
        *,
        source: str,
        allow_empty: bool,
        progress: Progress,
        pack_size: int = PACK_SIZE,
        in_memory: int = IN_MEMORY,
    ) -> None:
        """`known`: SHA-256 of contents that need not be sent."""
        self.listing: list[Listed] = []
        self.placed: dict[str, str] = {}
        """SHA-256 of content -> name of the pack of this backup that holds it."""
        self.bytes_read = 0
        self._tree = tree
        self._known = known
        self._source = source
        self._allow_empty = allow_empty
        self._progress = progress
        self._pack_size = pack_size
        self._in_memory = in_memory
        self._again: deque[Found] = deque()
        self._pending: deque[_Content] = deque()
        self._taken: set[str] = set()
        self._tries: dict[bytes, int] = {}
        self._linked: dict[tuple[int, int], list[tuple[Found, str]]] = {}
        """Names of files with several names, as they were read."""
        self._walk = self._contents()

    @property
    def notes(self) -> Notes:
        return self._tree.notes

    def packs(self) -> Iterator[Pack]:
        """The packs, each to be consumed before the next is asked for. Raises SourceError's family."""
        number = 0
        while (first := self._next()) is not None:
            number += 1
            pack = Pack(number, largest=first.size)
            pack.reader = PullReader(self._stream(pack, first))
            yield pack
        if not self._allow_empty and not any(x.found.kind == "file" for x in self.listing):
            raise SourceEmpty(
                f"Source {self._source} has no files",
                expected="at least one file",
                found="none",
                do=f"check its path; if it is meant to be empty, set `allow_empty: true` for {self._source}",
            )
        self.listing.sort(key=lambda x: x.found.path)

    def packed(self, pack: Pack) -> None:
        """`pack` is stored."""
        for content in pack.contents:
            self.placed[content] = pack.name

    def given_up(self, pack: Pack) -> None:
        """`pack` held a file that changed between hashing and packing: read it again later.

        Others that share the content of the first reading are read again as well.
        """
        self._taken.difference_update(pack.contents)
        for listed in self._unlist(lambda x: x.sha256 in pack.contents):
            self._retry(listed.found)

    def _unlist(self, which: Callable[[Listed], bool]) -> list[Listed]:
        out = [x for x in self.listing if which(x)]
        self.listing = [x for x in self.listing if not which(x)]
        for listed in out:
            if listed.found.inode is not None:
                self._linked.pop(listed.found.inode, None)
        return out

    # -- from files to contents ----------------------------------------------------------------------------

    def _next(self) -> _Content | None:
        if self._pending:
            return self._pending.popleft()
        content = next(self._walk, None)
        if content is None and self._again:
            # The walk is over; what `given_up` put back needs another round.
            self._walk = self._rounds()
            content = next(self._walk, None)
        return content

    def _contents(self) -> Iterator[_Content]:
        yield from self._entries(self._tree.walk())
        yield from self._rounds()

    def _entries(self, entries: Iterable[Found]) -> Iterator[_Content]:
        for found in entries:
            if found.kind == "file":
                yield from self._content_of(found)
            else:
                self._list(found, None)

    def _rounds(self) -> Iterator[_Content]:
        while self._again:
            found = self._again.popleft()
            try:
                now = self._tree.again(found)
            except Vanished:
                continue
            yield from self._entries([now])
            if now.kind == "directory":  # in the place of a file
                yield from self._entries(self._tree.walk(now.path))

    def _content_of(self, found: Found) -> Iterator[_Content]:
        try:
            sha256, body = self._known_by_another_name(found) or self._hash(found)
        except Changed:
            self._retry(found)
            return
        except Vanished:
            self.notes.vanished.append(found.label)
            return
        if not self._same_by_all_names(found, sha256):
            return
        self._list(found, sha256)
        if not found.size or sha256 in self._known or sha256 in self._taken:
            return
        self._taken.add(sha256)
        yield _Content(found, sha256, body)

    def _list(self, found: Found, sha256: str | None) -> None:
        self.listing.append(Listed(replace(found, mark=()), sha256))

    def _known_by_another_name(self, found: Found) -> tuple[str, None] | None:
        names = self._linked.get(found.inode, []) if found.inode is not None else []
        return next(((sha256, None) for name, sha256 in names if name.mark == found.mark), None)

    def _same_by_all_names(self, found: Found, sha256: str) -> bool:
        """Note this reading of a file with several names. False: another name had other content, and all are
        read again."""
        if found.inode is None:
            return True
        names = self._linked.setdefault(found.inode, [])
        names.append((found, sha256))
        if len({content for _, content in names}) == 1:
            return True
        self._unlist(lambda x: x.found.inode == found.inode)
        for name, _ in names:
            self._retry(name)
        return False

    def _hash(self, found: Found) -> tuple[str, bytes | None]:
        digest = hashlib.sha256()
        kept: list[bytes] | None = [] if found.size <= self._in_memory else None
        for chunk in self._tree.read(found):
            digest.update(chunk)
            self.bytes_read += len(chunk)
            if kept is not None:
                kept.append(chunk)
        return digest.hexdigest(), b"".join(kept) if kept is not None else None

    def _retry(self, found: Found) -> None:
        tries = self._tries[found.path] = self._tries.get(found.path, 0) + 1
        if tries >= ATTEMPTS:
            raise SourceChanged(
                f"The file {found.label} of source {self._source} changes while it is read",
                expected=f"one quiet reading out of {ATTEMPTS}",
                found=f"{ATTEMPTS} readings, each disturbed",
                do="back up a snapshot of it, pause its writer, or list it under `exclude`",
            )
        self._progress(f"{self._source}: {found.label} changed while it was read; trying again later")
        self._again.append(found)

    # -- from contents to packs ----------------------------------------------------------------------------

    def _stream(self, pack: Pack, first: _Content) -> Iterator[bytes]:
        written = 0
        content: _Content | None = first
        while content is not None:
            header = member_header(content.name, content.size)
            yield header
            yield from self._body(content, pack)
            yield padding(content.size)
            written += len(header) + content.size + len(padding(content.size))
            if content.body is None:
                break
            content = self._fitting(written)
        yield trailer(written)
        self._progress(
            f"{self._source}: {pack.name} holds {len(pack.contents)} files, {human_bytes(written)}"
        )

    def _fitting(self, written: int) -> _Content | None:
        content = self._next()
        if content is None:
            return None
        if content.body is None or written + member_size(content.size) > self._pack_size:
            self._pending.append(content)
            return None
        return content

    def _body(self, content: _Content, pack: Pack) -> Iterator[bytes]:
        pack.contents.append(content.name)
        if content.body is not None:
            yield content.body
            return
        digest = hashlib.sha256()
        try:
            for chunk in self._tree.read(content.found):
                digest.update(chunk)
                yield chunk
        except Vanished as error:
            raise Changed from error
        if digest.hexdigest() != content.name:
            raise Changed


def require_placed(capture: Capture, known: Collection[str]) -> None:
    """Raises IntegrityError unless every listed content is in a pack or known: a guard against ourselves."""
    missing = [
        x.found.label
        for x in capture.listing
        if x.sha256 is not None and x.found.size and x.sha256 not in capture.placed and x.sha256 not in known
    ]
    if missing:
        raise IntegrityError(
            "Listed files have no stored content",
            expected="every file in a pack",
            found=f"{len(missing)} without, the first {missing[0]}",
            do="report this; nothing was kept",
        )
