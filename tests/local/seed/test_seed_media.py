"""The media directory: equal for equal seeds to the nanosecond, valid pictures, the odd cases."""

import hashlib
import struct
import xml.etree.ElementTree as ET
import zlib
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tidewatch.core.errors import ConfigError
from tidewatch.local.seed import seed_media
from tidewatch.local.seed.grammar import load
from tidewatch.local.seed.images import png, svg


def listing(root: Path) -> dict[str, tuple[str, int, int]]:
    """Path -> (content digest or link target, mode, mtime in ns)."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        status = path.lstat()
        body = str(path.readlink()) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (body, status.st_mode, status.st_mtime_ns)
    return found


def test_two_directories_of_a_seed_are_equal_in_name_content_mode_and_time(tmp_path: Path) -> None:
    seed_media(tmp_path / "a")
    seed_media(tmp_path / "b")
    seed_media(tmp_path / "c", seed=7)
    assert listing(tmp_path / "a") == listing(tmp_path / "b")
    assert listing(tmp_path / "a") != listing(tmp_path / "c")


def test_there_are_about_sixty_files_of_a_few_megabytes(tmp_path: Path) -> None:
    report = seed_media(tmp_path)
    files = listing(tmp_path)
    assert report.total == len(files)
    assert 55 <= report.total <= 70
    assert report.bytes == sum(
        p.stat().st_size for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink()
    )
    assert 4e6 < report.bytes < 8e6


def test_the_scale_adds_files(tmp_path: Path) -> None:
    small = seed_media(tmp_path / "small", scale=0.1)
    large = seed_media(tmp_path / "large", scale=0.5)
    assert small.total < large.total
    assert small.total > 10


def test_the_second_seeding_writes_nothing_and_spares_strangers(tmp_path: Path) -> None:
    first = seed_media(tmp_path, scale=0.1)
    (tmp_path / "mine.txt").write_text("keep me")
    before = listing(tmp_path)
    again = seed_media(tmp_path, scale=0.1)
    assert listing(tmp_path) == before
    assert (first.created, again.created) == (True, False)
    assert again.counts == first.counts


def test_a_damaged_file_is_written_again(tmp_path: Path) -> None:
    seed_media(tmp_path, scale=0.1)
    before = listing(tmp_path)
    (tmp_path / "图片" / "主图_01.png").write_bytes(b"damaged")
    assert seed_media(tmp_path, scale=0.1).created
    assert listing(tmp_path) == before


def test_the_odd_cases_of_a_grown_directory_are_there(tmp_path: Path) -> None:
    seed_media(tmp_path, scale=0.1)
    files = listing(tmp_path)
    names = list(files)
    assert any(n.endswith("🎉 final(最终版) v2.txt") for n in names)
    assert any("'" in n and '"' in n for n in names)
    assert any((tmp_path / n).stat().st_size == 0 for n in names)
    assert max(Counter(body for body, _, _ in files.values()).values()) > 1  # one content, two names
    links = [n for n in names if (tmp_path / n).is_symlink()]
    assert len(links) == 1
    assert (tmp_path / links[0]).resolve().is_file()
    with pytest.raises(UnicodeDecodeError):
        (tmp_path / "草稿" / "GBK编码.csv").read_text(encoding="utf-8")


def test_pictures_are_valid(tmp_path: Path) -> None:
    seed_media(tmp_path, scale=0.3)
    pictures = sorted(tmp_path.rglob("*.png"))
    assert pictures
    for picture in pictures:
        assert _pixels(picture.read_bytes()) == (160, 120)
    drawings = sorted(tmp_path.rglob("*.svg"))
    assert drawings
    for drawing in drawings:
        assert ET.fromstring(drawing.read_bytes()).tag.endswith("svg")  # noqa: S314  written by ourselves


def _pixels(body: bytes) -> tuple[int, int]:
    """Width and height of a PNG whose checksums and amount of pixel data were checked."""
    assert body.startswith(b"\x89PNG\r\n\x1a\n")
    position, chunks = 8, dict[bytes, bytes]()
    while position < len(body):
        (length,) = struct.unpack_from(">I", body, position)
        kind, data = body[position + 4 : position + 8], body[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", body, position + 8 + length)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        position += 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)
    assert b"IEND" in chunks
    return width, height


def test_a_drawing_may_carry_any_title() -> None:
    for title in load("hostile"):
        shown = ET.fromstring(svg(title, Random(1))).findtext("{http://www.w3.org/2000/svg}title")  # noqa: S314
        assert shown is not None
        assert "<script>" not in title or shown == title


def test_noise_does_not_compress() -> None:
    assert len(png(28, 28, Random(1), noise=True)) > 28 * 28 * 3


def test_a_file_in_the_way_and_a_zero_scale_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="need a directory"):
        seed_media(tmp_path / "file")
    with pytest.raises(ConfigError, match="above 0"):
        seed_media(tmp_path / "new", scale=0)
