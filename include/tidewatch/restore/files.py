"""A backup of files as a tree of files: names as bytes, links, modes, times, holes.

Every step into the tree is relative to a descriptor that was reached without following a link, so nothing is
ever written outside of it. Links are made last.
"""

import contextlib
import hashlib
import os
import stat
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from tidewatch.core.errors import Busy, ConfigError, IntegrityError, NotFound
from tidewatch.core.files import directory_lock
from tidewatch.core.progress import human_bytes
from tidewatch.restore.choose import Chosen
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.fetch import Fetched, FetchedObject
from tidewatch.restore.opening import open_into, opened
from tidewatch.vault.envelope import Identities
from tidewatch.vault.filenames import decode_name
from tidewatch.vault.manifest import FileEntry, Manifest

_BLOCK = 1 << 20
_TELL_SECONDS = 3.0
_DESCRIPTORS = 200
"""Of directories that are kept open: what is restored next mostly lies beside or below."""


@dataclass(frozen=True)
class Unpacked:
    """What was made. `seconds`: decrypt is CPU time of the opening, load all the rest."""

    entries: int
    bytes: int
    seconds: dict[str, float]


def selected(manifest: Manifest, prefixes: Sequence[str] = ()) -> list[FileEntry]:
    """The entries at or below one of `prefixes`, all without any, with the directories that lead to them.
    Raises NotFound for a prefix that has nothing."""
    files = manifest.files or []
    if not prefixes:
        return files
    wanted = [os.fsencode(p).strip(b"/") for p in prefixes]
    below = [f for f in files if any(f.path_bytes == w or f.path_bytes.startswith(w + b"/") for w in wanted)]
    for prefix, raw in zip(prefixes, wanted, strict=True):
        if not any(f.path_bytes == raw or f.path_bytes.startswith(raw + b"/") for f in below):
            raise NotFound(
                f"{manifest.backup_id} has nothing at {prefix}",
                expected="the path of a file or directory, relative to the root of the source",
                found="no such path",
                do="correct the path, or take a backup from before it was removed (--at)",
            )
    chosen = {f.path_bytes for f in below}
    parents = {raw[:cut] for raw in chosen for cut in range(len(raw)) if raw[cut : cut + 1] == b"/"}
    return [f for f in files if f.path_bytes in chosen or f.path_bytes in parents]


def objects_of(manifest: Manifest, entries: Iterable[FileEntry]) -> set[str]:
    """Relative keys of the objects that hold the content of `entries`."""
    return {manifest.objects[f.object].key for f in entries if f.object is not None}


def unpack(
    ctx: RestoreContext,
    chosen: Chosen,
    fetched: Fetched,
    directory: Path,
    *,
    prefixes: Sequence[str] = (),
    aside: Path | None = None,
) -> Unpacked:
    """Rebuild the tree, or what is at or below `prefixes`, as `directory`, which is absent or empty. With
    `aside` it may have content, which gets that name when the tree is complete.

    It is built beside and appears in one step; what a killed run left beside is replaced. Raises ConfigError
    (not empty, cannot be written), Busy, IntegrityError, NotFound; `directory` is as it was then.
    """
    began = time.monotonic()
    entries = list(selected(chosen.manifest, prefixes))
    work = _Tree(ctx, chosen.manifest, fetched, ctx.identities_for(chosen.manifest), entries)
    with _appearing(directory, aside) as beside, work.into(beside):
        work.make()
    return Unpacked(
        len(entries),
        work.bytes,
        {"decrypt": work.decrypting, "load": max(0.0, time.monotonic() - began - work.decrypting)},
    )


def unseal(
    ctx: RestoreContext, chosen: Chosen, fetched: Fetched, directory: Path, *, aside: Path | None = None
) -> Unpacked:
    """The objects of a database's backup, opened: `dump.pgc` for pg_restore and `roles.sql` for psql. As
    `unpack` otherwise."""
    began, size, decrypting = time.monotonic(), 0, 0.0
    identities = ctx.identities_for(chosen.manifest)
    with _appearing(directory, aside) as beside:
        for found in fetched.objects.values():
            path = beside / found.entry.name.removesuffix(".zst.age")
            before = time.thread_time()
            with path.open("xb") as out:
                size += open_into(found, identities, out.write).plain_size
            path.chmod(0o600)
            decrypting += time.thread_time() - before
    load = max(0.0, time.monotonic() - began - decrypting)
    return Unpacked(len(fetched.objects), size, {"decrypt": decrypting, "load": load})


@contextlib.contextmanager
def _appearing(directory: Path, aside: Path | None) -> Iterator[Path]:
    """A new directory beside `directory`, which takes its place when all went well."""
    if aside is None or not _has_content(directory):
        require_empty(directory)
    try:
        with _alone(directory.with_name(f".{directory.name}.restoring"), directory) as beside:
            try:
                yield beside
                beside.chmod(0o755)
                _take_place(beside, directory, aside)
            except BaseException:
                remove_tree(beside)
                raise
    except OSError as error:
        raise ConfigError(
            f"The directory {directory} cannot be made",
            expected="a place on a disk with room, whose parent directory may be written",
            found=f"{error.strerror or type(error).__name__}",
            do="choose another directory, or run as a user who may write there",
        ) from error


@contextlib.contextmanager
def _alone(beside: Path, directory: Path) -> Iterator[Path]:
    """The empty directory `beside`, in which nobody else is at work. Raises Busy."""
    with contextlib.ExitStack() as stack:
        while True:
            if beside.is_symlink() or beside.is_file():
                beside.unlink()
            beside.mkdir(parents=True, mode=0o700, exist_ok=True)
            try:
                lock = contextlib.ExitStack()
                known = beside.stat().st_ino
                lock.enter_context(directory_lock(beside))
                if beside.stat().st_ino == known:
                    break
                lock.close()
            except FileNotFoundError:  # the other one has just ended: once more
                lock.close()
            except Busy:
                raise Busy(
                    f"{directory} is being restored to by another process",
                    expected="one restore at a time to a directory",
                    found=f"one at work in {beside}",
                    do="wait until it has ended, or choose another directory",
                ) from None
        stack.push(lock)
        here = os.open(beside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(here, 0o700)
            _empty(here)
        finally:
            os.close(here)
        yield beside


def require_empty(directory: Path) -> None:
    """Raises ConfigError unless `directory` is absent or an empty directory."""
    try:
        found = next(iter(directory.iterdir()), None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(
            f"{directory} cannot be restored to",
            expected="a directory that is absent or empty",
            found=error.strerror or type(error).__name__,
            do="choose another path",
        ) from error
    if found is not None:
        raise ConfigError(
            f"The directory {directory} is not empty",
            expected="a directory that is absent or empty",
            found="files in it, which were left as they are",
            do="choose another path, or move away what is there",
        )


def _take_place(beside: Path, directory: Path, aside: Path | None) -> None:
    if aside is None or not _has_content(directory):
        beside.rename(directory)
        return
    directory.rename(aside)
    try:
        beside.rename(directory)
    except OSError:
        aside.rename(directory)
        raise


def _has_content(directory: Path) -> bool:
    return directory.is_dir() and next(iter(directory.iterdir()), None) is not None


def remove_tree(root: Path) -> None:
    """Remove `root` with everything in it, however deep and whatever its modes; absent is fine."""
    if not root.is_dir() or root.is_symlink():
        root.unlink(missing_ok=True)
        return
    root.chmod(0o700)
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _empty(here)
    finally:
        os.close(here)
    root.rmdir()


def _empty(here: int) -> None:
    """Remove what is in the directory `here`. Directories below are moved up into it one by one, so that no
    path gets long and nothing recurses."""
    waiting: list[bytes] = [os.fsencode(name) for name in os.listdir(here)]
    moved = 0
    while waiting:
        name = waiting.pop()
        if not stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=here)
            continue
        os.chmod(name, 0o700, dir_fd=here)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
        try:
            for entry in map(os.fsencode, os.listdir(below)):  # noqa: PTH208 - a descriptor
                if not stat.S_ISDIR(os.stat(entry, dir_fd=below, follow_symlinks=False).st_mode):
                    os.unlink(entry, dir_fd=below)
                    continue
                moved += 1
                up = b".tidewatch-%d-%d" % (os.getpid(), moved)
                os.chmod(entry, 0o700, dir_fd=below)
                os.rename(entry, up, src_dir_fd=below, dst_dir_fd=here)
                waiting.append(up)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=here)


class _Tree:
    """One rebuilding."""

    def __init__(
        self,
        ctx: RestoreContext,
        manifest: Manifest,
        fetched: Fetched,
        identities: Identities,
        entries: list[FileEntry],
    ) -> None:
        self._ctx, self._manifest, self._fetched = ctx, manifest, fetched
        self._identities, self._entries = identities, entries
        self._root = -1
        self._open: list[tuple[bytes, int]] = []
        """The directories last stepped through, each below the one before, and their descriptors."""
        self.bytes = 0
        self.decrypting = 0.0
        self._told = time.monotonic()

    @contextlib.contextmanager
    def into(self, root: Path) -> Iterator[None]:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield
        finally:
            self._leave()
            os.close(self._root)

    def make(self) -> None:
        for entry in self._entries:
            if entry.type == "directory":
                self._directory(entry)
            elif entry.type == "file" and entry.size == 0:
                with self._new(entry):
                    pass
        self._contents()
        for entry in self._entries:
            if entry.type in ("hardlink", "symlink"):
                self._link(entry)
        for entry in reversed(self._entries):  # what is in a directory before the directory
            if entry.type in ("file", "directory"):
                here, name = self._parent(entry.path_bytes)
                os.chmod(name, entry.mode, dir_fd=here)
                os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=here)

    # -- steps ---------------------------------------------------------------------------------------------

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """Descriptor of the directory that `path` is in, and the last part of the name. Directories that the
        backup does not list (objects of a bucket come without) are made."""
        above, _, name = path.rpartition(b"/")
        while self._open and not (above + b"/").startswith(self._open[-1][0] + b"/"):
            os.close(self._open.pop()[1])
        reached, here = self._open[-1] if self._open else (b"", self._root)
        for step in filter(None, above[len(reached) :].split(b"/")):
            here = _stepped(here, step)
            reached = reached + b"/" + step if reached else step
            self._open.append((reached, here))
            if len(self._open) > _DESCRIPTORS:
                os.close(self._open.pop(0)[1])
        return here, name

    def _leave(self) -> None:
        for _, here in self._open:
            os.close(here)
        self._open.clear()

    def _directory(self, entry: FileEntry) -> None:
        here, name = self._parent(entry.path_bytes)
        try:
            os.mkdir(name, 0o700, dir_fd=here)
        except FileExistsError:  # made as the parent of something listed before it
            if not stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                raise

    def _new(self, entry: FileEntry) -> BinaryIO:
        here, name = self._parent(entry.path_bytes)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.fdopen(os.open(name, flags, 0o600, dir_fd=here), "w+b", buffering=0)

    def _link(self, entry: FileEntry) -> None:
        target = decode_name(entry.link_target or "", entry.link_encoded)
        here, name = self._parent(entry.path_bytes)
        if entry.type == "symlink":
            os.symlink(target, name, dir_fd=here)
            os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=here, follow_symlinks=False)
            return
        here = os.dup(here)
        try:
            there, first = self._parent(target)
            os.link(first, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
        finally:
            os.close(here)

    # -- contents ------------------------------------------------------------------------------------------

    def _contents(self) -> None:
        """Every file from the pack that holds it; a content that several files have is read once. Of hard
        links the first name is written, or the first that was selected."""
        there = {e.path_bytes for e in self._entries}
        packs: dict[int, dict[str, list[FileEntry]]] = {}
        for number, entry in enumerate(self._entries):
            if entry.type == "hardlink":
                first = decode_name(entry.link_target or "", entry.link_encoded)
                if first in there:
                    continue
                # Its first name was not asked for: it becomes a file of its own.
                entry = self._entries[number] = FileEntry(
                    path=entry.path,
                    path_encoded=entry.path_encoded,
                    size=entry.size,
                    mode=entry.mode,
                    mtime=entry.mtime,
                    type="file",
                    sha256=entry.sha256,
                    object=entry.object,
                )
                if entry.size == 0:
                    with self._new(entry):
                        pass
            if entry.type == "file" and entry.object is not None and entry.sha256 is not None:
                packs.setdefault(entry.object, {}).setdefault(entry.sha256, []).append(entry)
        for number, wanted in packs.items():
            self._pack(self._fetched.objects[self._manifest.objects[number].key], wanted)

    def _pack(self, pack: FetchedObject, wanted: dict[str, list[FileEntry]]) -> None:
        with (
            opened(pack, self._identities) as plain,
            tarfile.open(fileobj=cast(IO[bytes], plain.stream), mode="r|", bufsize=_BLOCK) as tar,
        ):
            for member in tar:
                entries = wanted.pop(member.name, None)
                content = tar.extractfile(member) if entries else None
                if entries and content is not None:
                    self._write(member.name, content, entries)
        self.decrypting += plain.seconds
        if wanted:
            raise IntegrityError(
                f"The pack {pack.entry.name} lacks content that the manifest places there",
                expected=f"{len(wanted)} more, the first with SHA-256 {next(iter(wanted))}",
                found="the end of the pack",
                do="report a defect of Tidewatch: the stored bytes are those of the manifest",
            )

    def _write(self, sha256: str, content: IO[bytes], entries: list[FileEntry]) -> None:
        seen = hashlib.sha256()
        with self._new(entries[0]) as out:
            while block := content.read(_BLOCK):
                seen.update(block)
                _put(out, block)
            out.truncate()
            for entry in entries[1:]:
                out.seek(0)
                with self._new(entry) as copy:
                    while block := out.read(_BLOCK):
                        _put(copy, block)
                    copy.truncate()
        if seen.hexdigest() != sha256:
            raise IntegrityError(
                "A content in a pack is not what its name says",
                expected=f"SHA-256 {sha256}",
                found=f"SHA-256 {seen.hexdigest()}",
                do="report a defect of Tidewatch: the stored bytes are those of the manifest",
            )
        self.bytes += sum(e.size for e in entries)
        if time.monotonic() - self._told > _TELL_SECONDS:
            self._told = time.monotonic()
            self._ctx.progress(f"{self._manifest.backup_id}: {human_bytes(self.bytes)} of files written")


def _stepped(here: int, step: bytes) -> int:
    """Descriptor of a directory below `here`, which is made unless it is there; a link is not followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(step, flags, dir_fd=here)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.mkdir(step, 0o755, dir_fd=here)
        return os.open(step, flags, dir_fd=here)


def _put(out: BinaryIO, block: bytes) -> None:
    """What is zero becomes a hole."""
    if block.count(0) == len(block):
        out.seek(len(block), os.SEEK_CUR)
        return
    view = memoryview(block)
    while view:
        view = view[out.write(view) :]
