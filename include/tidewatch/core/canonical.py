"""One byte string for one JSON value (RFC 8785, JSON Canonicalization Scheme), and its digest."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import rfc8785

from tidewatch.core.errors import IntegrityError

_LARGEST = 2**53 - 1
"""Beyond it not every integer is a float. From 1e21 on the form has an exponent and stays a float."""
_ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def canonical_bytes(value: Any) -> bytes:
    """RFC 8785 form of `value` (dicts, lists, str, int within +-2^53, finite float, bool, None), UTF-8.

    An iterator stands for a list, so that a long one need not be in memory as a whole. Raises IntegrityError
    for what JSON cannot carry exactly (NaN, larger integers, other types).
    """
    sink = bytearray()
    try:
        _write(value, sink)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        # rfc8785 lets a key that is not Unicode through as UnicodeEncodeError, whose text quotes the key.
        raise IntegrityError(
            "A value has no canonical JSON form",
            expected="JSON types, finite numbers, integers within +-(2^53 - 1), keys that are text",
            found="text that is not Unicode" if isinstance(error, UnicodeEncodeError) else str(error),
            do="pass large integers and times as text",
        ) from None
    return bytes(sink)


def _write(value: Any, sink: bytearray) -> None:
    """Containers here, whatever is plain by the standard library's encoder, which gives the same text several
    times as fast; all other leaves by rfc8785."""
    if isinstance(value, dict):
        if all(map(_is_plain, value.values())) and all(map(_is_ascii, value)):
            sink += _ENCODE(value).encode()
            return
        mark = b"{"
        for key, inner in sorted(value.items(), key=_utf16):
            sink += mark + rfc8785.dumps(key) + b":"
            _write(inner, sink)
            mark = b","
        sink += b"}" if value else b"{}"
    elif isinstance(value, list | tuple | Iterator):
        mark = b"["
        for inner in value:
            sink += mark
            _write(inner, sink)
            mark = b","
        sink += b"[]" if mark == b"[" else b"]"
    else:
        if isinstance(value, float) and _LARGEST < abs(value) < 1e21:
            # A float such as 2.0**53 is written as an integer that could not be read and written again.
            raise rfc8785.FloatDomainError(value)
        sink += _ENCODE(value).encode() if _is_plain(value) else rfc8785.dumps(value)


def _is_plain(value: Any) -> bool:
    """Whether the standard library writes `value` as RFC 8785 does."""
    kind = type(value)
    return kind is str or kind is bool or value is None or (kind is int and -_LARGEST <= value <= _LARGEST)


def _is_ascii(key: Any) -> bool:
    """Whether the order of code points is that of UTF-16 code units for this key."""
    return type(key) is str and key.isascii()


def _utf16(item: tuple[Any, Any]) -> bytes:
    key = item[0]
    if not isinstance(key, str):
        raise rfc8785.CanonicalizationError("object keys must be strings")
    return key.encode("utf-16be")


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data`, 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of the canonical form of `value`, hex."""
    return sha256_hex(canonical_bytes(value))
