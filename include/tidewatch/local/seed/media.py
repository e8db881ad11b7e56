"""The media directory: pictures, captions and a video-sized blob, with the file names that break scripts."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from tidewatch.core.errors import ConfigError
from tidewatch.local.seed.grammar import load, writers
from tidewatch.local.seed.images import jpeg_like, png, svg
from tidewatch.local.seed.report import SeedReport

_EPOCH = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
_VIDEO_BYTES = 4_000_000
_LINK = "最新主图.png"
_LINK_TARGET = "图片/主图_01.png"


def seed_media(directory: Path, *, scale: float = 1.0, seed: int = 20260101) -> SeedReport:
    """Write about `60 * scale` files, some 6 MB at scale 1, into `directory` (made if it is not there).

    Equal seed and scale give equal names, bytes, modes and modification times. Files that are there already
    with the same content are not written again; strange files in the directory are left alone, not counted.
    `counts`: top folder ("." = the directory itself) -> files; the symbolic link counts as one. Raises
    ConfigError when the scale is not positive or the directory is a file.
    """
    if not scale > 0:
        raise ConfigError(
            "The scale of the sample media is not usable", expected="a number above 0 (1 is about 60 files)",
            found=str(scale), do="give another scale",
        )  # fmt: skip
    if directory.exists() and not directory.is_dir():
        raise ConfigError(
            "The sample media need a directory", expected="a directory, or a path where none is yet",
            found=f"a file at {directory}", do="remove the file or give another path",
        )  # fmt: skip
    files = compose(scale, Random(f"{seed}/media"))
    written = sum(_write(directory / name, body, number) for number, (name, body) in enumerate(files.items()))
    link = directory / _LINK
    if not link.is_symlink():
        link.symlink_to(_LINK_TARGET)
        written += 1
    os.utime(link, (_EPOCH, _EPOCH), follow_symlinks=False)
    counts = Counter(name.split("/")[0] if "/" in name else "." for name in (*files, _LINK))
    return SeedReport(
        counts=dict(sorted(counts.items())), bytes=sum(map(len, files.values())), created=written > 0
    )


def compose(scale: float, rng: Random) -> Mapping[str, bytes]:
    """Relative path -> content of every regular file."""
    writer, files = writers()["zh"], dict[str, bytes]()
    for number in range(1, max(round(18 * scale), 1) + 1):
        files[f"图片/主图_{number:02d}.png"] = png(160, 120, rng, noise=number % 3 == 0)
    for number in range(1, max(round(10 * scale), 1) + 1):
        files[f"图片/用户晒单/{number:03d} {writer.word('city', rng)}.jpg"] = jpeg_like(
            rng.randrange(20_000, 120_000), rng
        )
    for number in range(1, max(round(8 * scale), 1) + 1):
        files[f"插画/{number:02d}-{writer.word('season', rng)}.svg"] = svg(rng.choice(load("hostile")), rng)
    posts = load("posts")["zh"]
    for number in range(1, max(round(16 * scale), 1) + 1):
        text = "\n\n".join(writer.text(posts[part], rng) for part in ("title", "opening", "middle", "ending"))
        name = f"{1 + number % 12:02d}/{number:03d}_{writer.word('campaign', rng)}.txt"
        files[f"文案/2026/{name}"] = text.encode()
    for number in range(1, max(round(scale), 1) + 1):
        files[f"视频/发布会回放_{number}.mp4"] = _video(rng, _VIDEO_BYTES)
    files.update(_oddities(files["图片/主图_01.png"], rng))
    return files


def _video(rng: Random, size: int) -> bytes:
    """An MP4's first box and then noise: as large and as incompressible as a short film."""
    return b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + rng.randbytes(size - 24)


def _oddities(picture: bytes, rng: Random) -> dict[str, bytes]:
    """What every grown directory has: a copy, an empty file, names that need care."""
    alts = [writers()["zh"].fill("{product}，{color}", rng) for _ in (1, 2)]
    rows = [{"file": f"图片/主图_{number:02d}.png", "alt": alt} for number, alt in enumerate(alts, 1)]
    return {
        "图片/副本/主图_01 的副本 (1).png": picture,
        "草稿/空白.txt": b"",
        "草稿/新品 上市 🎉 final(最终版) v2.txt": "还没写完…\r\n\t明天补\u200b".encode(),
        '草稿/it\'s "quoted" & $HOME; `ls` %20.txt': b"quotes\n",
        "草稿/-rf 开头是减号.txt": b"-rf\n",
        "草稿/.隐藏配置.json": json.dumps({"水印": True, "quality": 85}, ensure_ascii=False).encode(),
        "草稿/组合字符 cafe\u0301.txt": b"NFD",
        "草稿/GBK编码.csv": "产品,数量\r\n空气炸锅,3\r\n".encode("gbk"),
        "草稿/" + "长" * 80 + ".txt": b"240 bytes of name\n",
        "清单.json": json.dumps(rows, ensure_ascii=False, indent=1).encode(),
    }


def _write(path: Path, body: bytes, number: int) -> bool:
    """True when the file was written. Mode and time are set in any case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.is_file() or path.read_bytes() != body
    if fresh:
        path.write_bytes(body)
    path.chmod(0o640 if path.suffix == ".json" else 0o644)
    # With a fraction of a second: it is content too.
    moment = (_EPOCH + 3607 * number) * 10**9 + 123_456_789
    os.utime(path, ns=(moment, moment))
    return fresh
