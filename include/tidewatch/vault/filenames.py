"""File names in JSON. A Unix name is bytes; JSON carries only Unicode text.

A name that is valid UTF-8 is written as it is. Any other name is written with `encoded` true: every byte
that is not part of a valid UTF-8 sequence, and every `%`, becomes `%XX` (RFC 3986), so that
`urllib.parse.unquote_to_bytes` gives the original bytes back. Without `encoded`, a `%` is just a `%`.
"""

import os
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes


@dataclass(frozen=True)
class Name:
    """`text` as it goes into the manifest; `encoded` says whether it has to be unquoted."""

    text: str
    encoded: bool


def encode_name(raw: bytes | str) -> Name:
    """The manifest's spelling of a file name: bytes, or text as `os` gives it (surrogateescape)."""
    data = os.fsencode(raw) if isinstance(raw, str) else raw
    try:
        return Name(data.decode("utf-8"), False)
    except UnicodeDecodeError:
        text = data.replace(b"%", b"%25").decode("utf-8", "surrogateescape")
        return Name("".join(f"%{ord(c) - 0xDC00:02X}" if _escaped(c) else c for c in text), True)


def decode_name(text: str, encoded: bool) -> bytes:
    """The bytes of the file name, the inverse of `encode_name`."""
    return unquote_to_bytes(text) if encoded else text.encode("utf-8")


def _escaped(character: str) -> bool:
    return 0xDC80 <= ord(character) <= 0xDCFF
