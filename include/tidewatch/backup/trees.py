"""Trees of files: a directory, or an S3 prefix, walked and read in a way that notices changes.

Paths are bytes, relative to the root, with `/`. Symbolic links are listed and never followed; sockets, pipes
and devices are skipped and named. The entries of a directory come before those of the directories in it.

No path is handed to the kernel as a whole: every step from the root to an entry is one open of its own. So
paths may be longer than the kernel takes, trees deeper than Python recurses, and a link that takes the place
of a directory leads nowhere.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, NoReturn, Protocol

from tidewatch.core.connections import Connection
from tidewatch.core.errors import (
    ObjectMissing,
    RegionError,
    RegionRefused,
    SourceError,
    SourcePermission,
    SourceUnreachable,
)
from tidewatch.core.objectstore import Listed, ObjectStore
from tidewatch.core.s3address import s3_address
from tidewatch.core.sources import FilesSource

CHUNK = 1 << 20
_OBJECT_MODE = 0o644
"""Objects have no mode; this one is listed, so that a restore writes ordinary files."""
Kind = Literal["file", "directory", "link"]


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of a tree. `mark` identifies this state of it: another mark is another content; it is empty
    for what needs no more reading."""

    path: bytes
    kind: Kind
    size: int
    mode: int
    mtime_ns: int
    mark: tuple[object, ...]
    link_target: bytes | None = None
    inode: tuple[int, int] | None = None
    """Device and inode of a file with several names; None for all others."""

    @property
    def label(self) -> str:
        """For people; undecodable bytes are shown escaped."""
        return self.path.decode("utf-8", "backslashreplace")


@dataclass
class Notes:
    """What a walk met besides entries."""

    special: list[str] = field(default_factory=list)
    """Sockets, pipes and devices, which have no content to back up."""
    vanished: list[str] = field(default_factory=list)
    """Entries that were listed and gone when they were to be read."""
    markers: int = 0
    """Empty objects of an S3 prefix whose keys end with a slash: folders of some console, without content."""
    excluded: int = 0


class Changed(Exception):
    """The entry was not the same at the end of reading as at its beginning."""


class Vanished(Exception):
    """The entry is gone."""


class _Gone(Exception):
    """A directory on the way to an entry is gone, or something else took its place."""


class Tree(Protocol):
    """Where files come from."""

    notes: Notes

    def walk(self, below: bytes = b"") -> Iterator[Found]:
        """Every entry of the tree, or of the directory `below` in it, that is not excluded."""

    def again(self, found: Found) -> Found:
        """The entry as it is now. Raises Vanished."""

    def read(self, found: Found) -> Iterator[bytes]:
        """The content in chunks. Raises Changed unless it was in the state `found` all the while."""


class DirectoryTree:
    """A directory on this machine."""

    def __init__(self, source: FilesSource) -> None:
        self.notes = Notes()
        self._source = source
        self._root = os.fsencode(source.path or "")
        self._identity: tuple[int, int] | None = None
        """Device and inode of the root when it was first opened."""
        self._held: tuple[bytes, int] | None = None
        """The directory that is walked now, and its descriptor."""

    def walk(self, below: bytes = b"") -> Iterator[Found]:
        try:
            there = Path(os.fsdecode(self._root)).is_dir()
        except OSError as error:  # a directory above it may not be entered
            self._refuse(b"", error)
        if not there:
            raise SourceUnreachable(
                f"The directory of source {self._source.name} is not there",
                expected=f"a directory {self._source.path}",
                found="no directory",
                do="mount it, or correct `path` in config/sources.yaml",
            )
        waiting = [below]
        while waiting:
            inner: list[bytes] = []
            for found in self._entries(waiting.pop()):
                if found.kind == "directory":
                    inner.append(found.path)
                yield found
            waiting += reversed(inner)
        try:
            with self._directory(b""):
                pass  # the root is still there, and still the same
        except OSError as error:
            self._refuse(b"", error)

    def again(self, found: Found) -> Found:
        self._let_go()  # as it is now under its path, not in a directory that may have moved
        entry = self._look(found.path)
        if entry is None:
            raise Vanished
        return entry

    def read(self, found: Found) -> Iterator[bytes]:
        parent, name = os.path.split(found.path)
        try:
            with self._parent(parent) as directory:
                # Not following a link that took the file's place, not hanging on a pipe that did.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(name, flags, dir_fd=directory)
        except (FileNotFoundError, _Gone) as error:
            raise Vanished from error
        except OSError as error:
            if found.mark != self.again(found).mark:
                raise Changed from error
            self._refuse(found.path, error)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if _mark(os.fstat(file.fileno())) != found.mark:
                raise Changed
            size = 0
            try:
                # Not beyond its size: a log that grows as fast as we read would never end.
                while size <= found.size and (chunk := file.read(min(CHUNK, found.size + 1 - size))):
                    size += len(chunk)
                    yield chunk
            except OSError as error:
                self._refuse(found.path, error)
            if size != found.size or _mark(os.fstat(file.fileno())) != found.mark:
                raise Changed

    def _entries(self, directory: bytes) -> Iterator[Found]:
        with contextlib.ExitStack() as stack:
            try:
                descriptor = stack.enter_context(self._directory(directory))
                names = sorted(os.fsencode(name) for name in os.listdir(descriptor))  # noqa: PTH208
            except _Gone:
                self._gone(directory)
                return
            except OSError as error:
                self._refuse(directory, error)
            self._held = (directory, descriptor)
            stack.callback(self._let_go)
            for name in names:
                path = os.path.join(directory, name)  # noqa: PTH118 - bytes
                if self._excluded(path):
                    self.notes.excluded += 1
                    continue
                found = self._look(path)
                if found is not None:
                    yield found

    def _let_go(self) -> None:
        self._held = None

    @contextlib.contextmanager
    def _parent(self, path: bytes) -> Iterator[int]:
        """As `_directory`; the one that is walked now stays open as long as that takes."""
        if self._held is not None and self._held[0] == path:
            yield self._held[1]
        else:
            with self._directory(path) as descriptor:
                yield descriptor

    @contextlib.contextmanager
    def _directory(self, path: bytes) -> Iterator[int]:
        """A descriptor of the directory `path`, reached from the root step by step without following a link:
        one that took a directory's place must not lead out of the tree. Raises _Gone, OSError."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            descriptor = os.open(self._root, flags)
        except (FileNotFoundError, NotADirectoryError):
            self._gone(b"")
            raise
        try:
            self._require_same(os.fstat(descriptor))
            for name in path.split(b"/") if path else []:
                try:
                    below = os.open(name, flags | os.O_NOFOLLOW, dir_fd=descriptor)
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                        raise _Gone from error
                    raise
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _require_same(self, root: os.stat_result) -> None:
        """Another directory in the place of the root, such as the empty one below a disk that was unmounted,
        must not look like deleted files."""
        identity = (root.st_dev, root.st_ino)
        if identity != (self._identity or identity):
            self._gone(b"")
        self._identity = identity

    def _gone(self, path: bytes) -> None:
        if not path:  # the root itself: an unmounted disk must not look like deleted files
            raise SourceUnreachable(
                f"The directory of source {self._source.name} went away while it was read",
                expected=f"a directory {self._source.path} that stays",
                found="no directory, or another one",
                do="mount it and run again",
            )
        self.notes.vanished.append(_label(path))

    def _look(self, path: bytes) -> Found | None:
        parent, name = os.path.split(path)
        target: bytes | None = None
        try:
            with self._parent(parent) as directory:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    target = os.readlink(name, dir_fd=directory)
        except (FileNotFoundError, _Gone):
            self._gone(path)
            return None
        except OSError as error:
            self._refuse(path, error)
        kind: Kind
        if stat.S_ISREG(status.st_mode):
            kind = "file"
        elif stat.S_ISDIR(status.st_mode):
            kind = "directory"
        elif target is not None:
            kind = "link"
        else:
            self.notes.special.append(_label(path))
            return None
        return Found(
            path,
            kind,
            status.st_size if kind == "file" else 0,
            stat.S_IMODE(status.st_mode),
            status.st_mtime_ns,
            _mark(status),
            target,
            (status.st_dev, status.st_ino) if kind == "file" and status.st_nlink > 1 else None,
        )

    def _excluded(self, path: bytes) -> bool:
        text = os.fsdecode(path)
        return any(fnmatch(text, pattern) for pattern in self._source.exclude)

    def _refuse(self, path: bytes, error: OSError) -> NoReturn:
        label = _label(path) or "."
        if isinstance(error, PermissionError):
            raise SourcePermission(
                f"The backup may not read {label} of source {self._source.name}",
                expected="permission to read every file and to enter every directory",
                found=os.strerror(error.errno or 0),
                do=f"give the user that runs the backup read access, or list {label} under `exclude`",
            ) from error
        raise SourceError(
            f"Reading {label} of source {self._source.name} failed",
            expected="its content",
            found=os.strerror(error.errno or 0),
            do="check the disk or the mount; nothing was kept; run again",
        ) from error


class PrefixTree:
    """The objects under a prefix of a bucket, which is a folder: `2026` means `2026/`. All get mode 644."""

    def __init__(self, source: FilesSource, store: ObjectStore) -> None:
        self.notes = Notes()
        self._source = source
        self._store = store
        self._prefix = f"{source.prefix.rstrip('/')}/" if source.prefix else ""

    def walk(self, below: bytes = b"") -> Iterator[Found]:
        try:
            for row in self._store.list(self._prefix + below.decode()):
                path = row.key.removeprefix(self._prefix)
                if any(fnmatch(path, pattern) for pattern in self._source.exclude):
                    self.notes.excluded += 1
                elif row.size == 0 and (not path or path.endswith("/")):
                    self.notes.markers += 1
                else:
                    yield from self._object(path, row)
        except RegionError as error:
            raise self._translated(error) from error

    def _object(self, path: str, row: Listed) -> Iterator[Found]:
        if not set(path.split("/")).isdisjoint({"", ".", ".."}) or "\0" in path:
            raise SourceError(
                f"The key {row.key!r} of source {self._source.name} cannot be the path of a file",
                expected="parts between single slashes, none of them empty, `.` or `..`",
                found=repr(path),
                do=f"rename the object, or list {path!r} under `exclude`; nothing was kept",
            )
        modified = _nanoseconds(row.last_modified)
        with contextlib.suppress(Vanished):
            yield self.again(Found(path.encode(), "file", row.size, _OBJECT_MODE, modified, ()))

    def again(self, found: Found) -> Found:
        """The present version, so that what is read is one version whatever is written meanwhile."""
        key = self._prefix + found.path.decode()
        try:
            head = self._store.head(key)
        except ObjectMissing as error:
            self.notes.vanished.append(found.label)
            raise Vanished from error
        except RegionError as error:
            raise self._translated(error) from error
        modified = _nanoseconds(head.last_modified) if head.last_modified else found.mtime_ns
        return replace(found, size=head.size, mtime_ns=modified, mark=(head.version_id, head.etag))

    def read(self, found: Found) -> Iterator[bytes]:
        key, (version, etag) = self._prefix + found.path.decode(), found.mark
        size = 0
        try:
            for chunk in self._store.get(key, str(version) if version is not None else None):
                size += len(chunk)
                yield chunk
            if size != found.size or (version is None and self._store.head(key).etag != etag):
                raise Changed
        except ObjectMissing as error:
            raise Vanished from error
        except RegionError as error:
            raise self._translated(error) from error

    def _translated(self, error: RegionError) -> SourceError:
        kind: type[SourceError] = SourceUnreachable if error.retryable else SourceError
        if isinstance(error, RegionRefused):
            kind = SourcePermission
        return kind(
            f"The bucket of source {self._source.name} cannot be read: {error.what}",
            expected=error.expected,
            found=error.found,
            do=f"check connection {self._source.connection} and `bucket` in config/sources.yaml",
        )


def open_tree(source: FilesSource, connection: Connection | None) -> Tree:
    """The tree of a source; `connection` is the resolved one of an S3 source. Raises ConfigError."""
    if source.path is not None:
        return DirectoryTree(source)
    if connection is None:
        raise ValueError(f"source {source.name} lies in a bucket: its connection must be resolved first")
    address = s3_address(connection, f"source {source.name}")
    return PrefixTree(source, ObjectStore(f"of source {source.name}", address, source.bucket or ""))


def _mark(status: os.stat_result) -> tuple[object, ...]:
    # ctime too: tools that restore an old mtime after writing cannot restore that one.
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000  # object stores keep whole seconds


def _label(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
