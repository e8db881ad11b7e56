"""A backup of files as objects of a bucket. What is there already with the same content is left, so that a
killed restore goes on; nothing is ever overwritten."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tidewatch.core.errors import AlreadyExists, ConfigError, RegionError
from tidewatch.core.objectstore import ObjectStore
from tidewatch.core.progress import Progress, human_bytes
from tidewatch.restore.fetch import hashed

_PART = 32 << 20
_AT_ONCE = 4


def require_free(store: ObjectStore, prefix: str, names: set[bytes]) -> None:
    """Raises ConfigError when the prefix holds something that is not of this restore, or a name cannot be a
    key; RegionError when the bucket does not answer."""
    odd = next((n for n in sorted(names) if not _is_text(n)), None)
    if odd is not None:
        raise ConfigError(
            "A name in this backup cannot be the key of an object",
            expected="names that are UTF-8",
            found=repr(odd)[:200],
            do="restore to a directory, or only other paths (--path)",
        )
    keys = {_key(prefix, n.decode()) for n in names}
    for listed in store.list(f"{prefix}/" if prefix else ""):
        if listed.key not in keys:
            raise ConfigError(
                f"The target {store.bucket}/{prefix} is not empty",
                expected="a prefix with nothing below it, or what a killed restore of the same left there",
                found=f"the object {listed.key[:200]}",
                do="choose another prefix",
            )


def upload(store: ObjectStore, prefix: str, tree: Path, progress: Progress) -> tuple[int, int]:
    """Write every file below `tree` as an object; returns their number and bytes. Raises AlreadyExists (other
    bytes are there), RegionError."""
    done = size = 0
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="upload") as pool:
        for number in pool.map(lambda path: _put(store, prefix, tree, path), _files(tree)):
            done, size = done + 1, size + number
            if done % 1000 == 0:
                progress(f"{store.bucket}: {done} objects, {human_bytes(size)} written")
    return done, size


def _files(tree: Path) -> Iterator[Path]:
    for directory, below, names in os.walk(tree):
        for name in below:  # modes are restored, and may forbid us to look
            if not (Path(directory) / name).is_symlink():
                (Path(directory) / name).chmod(0o700)
        for name in names:
            path = Path(directory) / name
            if not path.is_symlink():
                path.chmod(0o600)
                yield path


def _put(store: ObjectStore, prefix: str, tree: Path, path: Path) -> int:
    key, size = _key(prefix, path.relative_to(tree).as_posix()), path.stat().st_size
    if size <= _PART:
        body = path.read_bytes()
        try:
            store.put(key, body)
        except AlreadyExists:
            if store.same(key, body) is None:
                raise
        return size
    if any(listed.key == key for listed in store.list(key)):
        if store.digest(key)[0] == hashed(path):
            return size
        raise AlreadyExists(
            f"The target holds another object {key}",
            expected="nothing, or the same content",
            found="other bytes",
            do="choose another prefix",
        )
    parts = store.multipart(key)
    try:
        with path.open("rb") as file:
            number = 0
            while block := file.read(_PART):
                number += 1
                parts.part(number, block, hashlib.sha256(block).digest())
        parts.complete()
    except BaseException:
        with contextlib.suppress(RegionError):
            parts.abort()
        raise
    return size


def _key(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
