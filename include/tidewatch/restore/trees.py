"""Is a restored tree of files what the manifest lists: every path, size, hash, mode and link?"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tidewatch.restore.checks import Check, passed
from tidewatch.vault.filenames import decode_name, encode_name
from tidewatch.vault.manifest import FileEntry

_KINDS = ("paths", "sizes", "hashes", "modes", "links")
Difference = tuple[str, str, str]
"""Kind, what was expected, what was found."""


def tree_checks(root: Path, entries: Sequence[FileEntry]) -> list[Check]:
    """Read every file below `root` and compare it with `entries`. Directories that only lead to a path are
    not listed by sources in buckets, and are not asked for."""
    found = dict(_walk(os.fsencode(root)))
    listed = {e.path_bytes: e for e in entries}
    leading = {p[:i] for p in listed for i in range(len(p)) if p[i : i + 1] == b"/"}
    wrong: dict[str, list[Check]] = {kind: [] for kind in _KINDS}
    for path in sorted(found.keys() | listed.keys()):
        if path not in listed:
            news = [] if path in leading else [("paths", "no such path", _article(_kind(found[path])))]
        else:
            news = list(_compare(os.fsencode(root), listed[path], found))
        for kind, expected, seen in news:
            wrong[kind].append(Check(kind, False, expected, seen, encode_name(path).text))
    links = sum(e.link_target is not None for e in entries)
    counts = {
        "paths": f"{len(entries)} paths",
        "sizes": f"{sum(e.size for e in entries)} bytes in files of the sizes listed",
        "hashes": f"{sum(e.sha256 is not None for e in entries)} files with the SHA-256 listed",
        "modes": f"{sum(e.type != 'symlink' for e in entries)} modes",
        "links": f"{links} links to where they led",
    }
    return [_summary(kind, wrong[kind], counts[kind]) for kind in _KINDS]


def _summary(kind: str, wrong: Sequence[Check], what: str) -> Check:
    if not wrong:
        return passed(kind, what)
    first = wrong[0]
    return Check(kind, False, first.expected, first.found, first.where, len(wrong))


def _compare(root: bytes, entry: FileEntry, found: Mapping[bytes, os.stat_result]) -> Iterator[Difference]:
    there = found.get(entry.path_bytes)
    kind = "file" if entry.type == "hardlink" else entry.type
    if there is None or _kind(there) != kind:
        yield "paths", _article(kind), "no such path" if there is None else _article(_kind(there))
        return
    place = root + b"/" + entry.path_bytes
    if kind == "symlink":
        target = encode_name(os.fsencode(Path(os.fsdecode(place)).readlink()))
        if (target.text, target.encoded) != (entry.link_target, entry.link_encoded):
            yield "links", f"a link to {entry.link_target}", f"a link to {target.text}"
        return
    if stat.S_IMODE(there.st_mode) != entry.mode:
        yield "modes", f"mode {entry.mode:04o}", f"mode {stat.S_IMODE(there.st_mode):04o}"
    if kind != "file":
        return
    if there.st_size != entry.size:
        yield "sizes", f"{entry.size} bytes", f"{there.st_size} bytes"
    if entry.sha256 is not None and (sha256 := _hash(place, there)) != entry.sha256:
        yield "hashes", f"SHA-256 {entry.sha256[:16]}", f"SHA-256 {sha256[:16]}"
    if entry.type == "hardlink" and entry.link_target is not None:
        first = found.get(decode_name(entry.link_target, entry.link_encoded))
        if first is None or (first.st_dev, first.st_ino) != (there.st_dev, there.st_ino):
            yield "links", f"the same file as {entry.link_target}", "a file of its own"


def _walk(root: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Relative path and state of everything below `root`; no link is followed."""
    waiting = [b""]
    while waiting:
        below = waiting.pop()
        place = root + b"/" + below
        with _readable(place, os.lstat(place)), os.scandir(place) as entries:
            for entry in entries:
                path = below + b"/" + entry.name if below else entry.name
                state = entry.stat(follow_symlinks=False)
                yield path, state
                if stat.S_ISDIR(state.st_mode):
                    waiting.append(path)


@contextlib.contextmanager
def _readable(place: bytes, state: os.stat_result) -> Iterator[None]:
    """A tree may hold what its owner may not read: opened for the time of reading."""
    mode = stat.S_IMODE(state.st_mode)
    wanted = mode | (0o500 if stat.S_ISDIR(state.st_mode) else 0o400)
    if wanted != mode:
        os.chmod(place, wanted)  # noqa: PTH101 - bytes
    try:
        yield
    finally:
        if wanted != mode:
            os.chmod(place, mode)  # noqa: PTH101


def _hash(place: bytes, state: os.stat_result) -> str:
    with _readable(place, state), open(place, "rb") as file:  # noqa: PTH123 - bytes
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kind(state: os.stat_result) -> str:
    if stat.S_ISLNK(state.st_mode):
        return "symlink"
    return "directory" if stat.S_ISDIR(state.st_mode) else "file"


def _article(kind: str) -> str:
    return f"a {kind}"
