"""A file that is replaced is the old one or a new one, whole, whoever writes and whoever is killed."""

import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidewatch.core.files import replace_file

ROUNDS = 40


def at_once(*writers: Callable[[], None]) -> None:
    """Run them side by side, each from the same moment on; raises what one of them raised."""
    ready = threading.Barrier(len(writers))

    def run(write: Callable[[], None]) -> None:
        ready.wait(60)
        for _ in range(ROUNDS):
            write()

    with ThreadPoolExecutor(len(writers)) as pool:
        for done in [pool.submit(run, write) for write in writers]:
            done.result(120)


def test_of_writers_at_once_each_leaves_a_whole_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([65 + n]) * (1000 + 50_000 * n) for n in range(4)]
    replace_file(path, contents[0])
    seen: list[bytes] = []
    at_once(*(lambda c=c: replace_file(path, c) for c in contents), lambda: seen.append(path.read_bytes()))
    assert {*seen, path.read_bytes()} <= set(contents)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("left", [b"", b"half of someth"])
def test_what_a_killed_writer_left_is_not_in_the_way_and_not_written_into(
    tmp_path: Path, left: bytes
) -> None:
    path, partial = tmp_path / "file", tmp_path / ".file.partial"
    partial.write_bytes(left)
    partial.chmod(0o644)
    with partial.open("rb") as reader:
        replace_file(path, b"secret")
        assert reader.read() == left, "somebody had the leftover open"
    assert path.read_bytes() == b"secret" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not partial.exists()


def test_a_link_in_the_place_of_the_partial_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".file.partial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="partial"):
        replace_file(tmp_path / "file", b"secret")
    assert not (tmp_path / "elsewhere").exists()
