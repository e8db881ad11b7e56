"""Small valid pictures made with the standard library."""

import re
import struct
import zlib
from random import Random

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, rng: Random, *, noise: bool = False) -> bytes:
    """An 8-bit RGB picture (PNG specification, colour type 2): a tinted gradient or noise."""
    red, green, blue = (rng.randrange(256) for _ in range(3))
    lines = bytearray()
    for y in range(height):
        lines.append(0)  # filter type "none" of this scan line
        if noise:
            lines += rng.randbytes(3 * width)
        else:
            lines += bytes(
                value & 255 for x in range(width) for value in (red + x, green + y, blue + (x ^ y))
            )
    # A fixed level: with one build of zlib, equal pictures are equal files.
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(lines), 6)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def svg(title: str, rng: Random) -> bytes:
    """A picture of circles; the title may hold any text, of which characters outside XML 1.0 are dropped."""
    safe = _NOT_XML.sub("", title).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    circles = "\n".join(
        f'  <circle cx="{rng.randrange(200)}" cy="{rng.randrange(200)}" r="{rng.randrange(4, 40)}" '
        f'fill="hsl({rng.randrange(360)} 60% 60%)" fill-opacity="0.6"/>'
        for _ in range(12)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" role="img">\n'
        f"  <title>{safe}</title>\n{circles}\n</svg>\n"
    ).encode()


def jpeg_like(size: int, rng: Random) -> bytes:
    """Bytes between JPEG's first and last markers: sniffed as JPEG, as incompressible, not decodable."""
    head = b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + b"JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00"
    return head + rng.randbytes(max(size - len(head) - 2, 0)) + b"\xff\xd9"
