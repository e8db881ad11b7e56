"""Files out of a region with the standard library, zstandard and pyrage alone: docs/vault-format.md in code.

Every step into the tree is relative to a descriptor, so that paths may be longer than the kernel takes.
"""

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pyrage
import zstandard

Fetch = Callable[[str], bytes]


class _Steps:
    """Goes into the directories of a tree, from where it was last as far as that is on the way."""

    def __init__(self, root: Path) -> None:
        self._open = [(b"", os.open(root, os.O_RDONLY | os.O_DIRECTORY))]

    def __enter__(self) -> "_Steps":
        return self

    def __exit__(self, *_: object) -> None:
        for _path, here in self._open:
            os.close(here)

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """Descriptor of the directory that `path` is in, open until the next call, and the name there."""
        above, _, name = path.rpartition(b"/")
        while len(self._open) > 1 and not (above + b"/").startswith(self._open[-1][0] + b"/"):
            os.close(self._open.pop()[1])
        reached, here = self._open[-1]
        for step in filter(None, above[len(reached) :].split(b"/")):
            here = _stepped(here, step)
            reached = reached + b"/" + step if reached else step
            self._open.append((reached, here))
            if len(self._open) > 200:
                os.close(self._open.pop(1)[1])
        return here, name


def _stepped(here: int, step: bytes) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(step, flags, dir_fd=here)
    except FileNotFoundError:  # objects of a bucket come without directories
        os.mkdir(step, dir_fd=here)
        return os.open(step, flags, dir_fd=here)


def restore(signed: bytes, fetch: Fetch, identity_file: Path, target: Path) -> dict[str, Any]:
    """Rebuild the tree of a manifest under `target`; `fetch` gives an object by its relative key. Returns the
    manifest's JSON."""
    manifest: dict[str, Any] = json.loads(signed)["manifest"]
    identity = pyrage.x25519.Identity.from_str(identity_file.read_text().strip())
    blobs = target.with_name(target.name + ".blobs")
    blobs.mkdir()
    target.mkdir()
    for entry in manifest["objects"]:
        sealed = fetch(entry["key"])
        assert hashlib.sha256(sealed).hexdigest() == entry["cipher_sha256"]
        packed = io.BytesIO(pyrage.decrypt(sealed, [identity]))
        with (
            zstandard.ZstdDecompressor().stream_reader(packed) as plain,
            tarfile.open(fileobj=plain, mode="r|") as tar,
        ):
            for member in tar:
                body = tar.extractfile(member)
                assert body is not None
                with (blobs / member.name).open("wb") as out:
                    while chunk := body.read(1 << 20):
                        # What is zero becomes a hole again.
                        out.seek(len(chunk), os.SEEK_CUR) if chunk.count(0) == len(chunk) else out.write(
                            chunk
                        )
                    out.truncate()
    with _Steps(target) as steps, _Steps(target) as others:
        for entry in manifest["files"]:
            _entry(entry, blobs, steps, others)
        for entry in reversed(manifest["files"]):  # what is in a directory before the directory
            if entry["type"] in ("file", "directory"):
                here, name = steps.parent(_bytes(entry, "path"))
                os.chmod(name, entry["mode"], dir_fd=here)
                os.utime(name, ns=(0, int(entry["mtime"])), dir_fd=here)
    return manifest


def _bytes(entry: dict[str, Any], field: str) -> bytes:
    encoded = entry.get("path_encoded" if field == "path" else "link_encoded")
    return unquote_to_bytes(entry[field]) if encoded else str(entry[field]).encode()


def _entry(entry: dict[str, Any], blobs: Path, steps: _Steps, others: _Steps) -> None:
    here, name = steps.parent(_bytes(entry, "path"))
    if entry["type"] == "directory":
        os.mkdir(name, dir_fd=here)
    elif entry["type"] == "symlink":
        os.symlink(_bytes(entry, "link_target"), name, dir_fd=here)
        os.utime(name, ns=(0, int(entry["mtime"])), dir_fd=here, follow_symlinks=False)
    elif entry["type"] == "hardlink":
        there, first = others.parent(_bytes(entry, "link_target"))
        os.link(first, name, src_dir_fd=there, dst_dir_fd=here)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=here), "wb") as out:
            if entry["size"]:
                with (blobs / entry["sha256"]).open("rb") as blob:
                    while chunk := blob.read(1 << 20):
                        out.seek(len(chunk), os.SEEK_CUR) if chunk.count(0) == len(chunk) else out.write(
                            chunk
                        )
                    out.truncate()


def look(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything below `root` that a backup keeps: kind, size, SHA-256, mode, time, target, first name."""
    seen: dict[bytes, tuple[object, ...]] = {}
    waiting, firsts = [b""], dict[tuple[int, int], bytes]()
    with _Steps(root) as steps:
        while waiting:
            directory = waiting.pop()
            here, _ = steps.parent(directory + b"/." if directory else b".")
            for name in sorted(map(os.fsencode, os.listdir(here))):  # noqa: PTH208
                path = directory + b"/" + name if directory else name
                status = os.stat(name, dir_fd=here, follow_symlinks=False)
                mode, time = stat.S_IMODE(status.st_mode), status.st_mtime_ns
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(path)
                    seen[path] = ("directory", mode, time)
                elif stat.S_ISLNK(status.st_mode):
                    seen[path] = ("symlink", time, os.readlink(name, dir_fd=here))
                elif stat.S_ISREG(status.st_mode):
                    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=here), "rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                    seen[path] = ("file", status.st_size, digest, mode, time)
                    if status.st_nlink > 1:
                        identity = (status.st_dev, status.st_ino)
                        firsts[identity] = min(path, firsts.get(identity, path))
                        seen[path] += (identity,)
    return {
        path: (*facts[:-1], firsts[facts[-1]]) if isinstance(facts[-1], tuple) else facts  # type: ignore[index]
        for path, facts in seen.items()
    }
