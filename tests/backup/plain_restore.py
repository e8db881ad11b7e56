"""Files out of a region with the standard library, zstandard and pyrage alone: docs/vault-format.md in code.

Every step into the tree is relative to a descriptor, so that paths may be longer than the kernel takes.
"""

import contextlib
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pyrage
import zstandard

Fetch = Callable[[str], bytes]


@contextlib.contextmanager
def _parent(root: Path, path: bytes) -> Iterator[tuple[int, bytes]]:
    *steps, name = path.split(b"/")
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for step in steps:
            with contextlib.suppress(FileExistsError):  # objects of a bucket come without directories
                os.mkdir(step, dir_fd=here)
            below = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        yield here, name
    finally:
        os.close(here)


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
    for entry in manifest["files"]:
        _entry(entry, blobs, target)
    for entry in reversed(manifest["files"]):  # what is in a directory before the directory
        if entry["type"] in ("file", "directory"):
            with _parent(target, _bytes(entry, "path")) as (here, name):
                os.chmod(name, entry["mode"], dir_fd=here)
                os.utime(name, ns=(0, int(entry["mtime"])), dir_fd=here)
    return manifest


def _bytes(entry: dict[str, Any], field: str) -> bytes:
    encoded = entry.get("path_encoded" if field == "path" else "link_encoded")
    return unquote_to_bytes(entry[field]) if encoded else str(entry[field]).encode()


def _entry(entry: dict[str, Any], blobs: Path, target: Path) -> None:
    with _parent(target, _bytes(entry, "path")) as (here, name):
        if entry["type"] == "directory":
            os.mkdir(name, dir_fd=here)
        elif entry["type"] == "symlink":
            os.symlink(_bytes(entry, "link_target"), name, dir_fd=here)
            os.utime(name, ns=(0, int(entry["mtime"])), dir_fd=here, follow_symlinks=False)
        elif entry["type"] == "hardlink":
            with _parent(target, _bytes(entry, "link_target")) as (there, first):
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
    while waiting:
        directory = waiting.pop()
        with _parent(root, directory + b"/." if directory else b".") as (here, _):
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
