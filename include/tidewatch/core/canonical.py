"""One byte string for one JSON value (RFC 8785, JSON Canonicalization Scheme), and its digest."""

import hashlib
from typing import Any

import rfc8785

from tidewatch.core.errors import IntegrityError

_LARGEST = 2**53 - 1
"""Beyond it not every integer is a float. From 1e21 on the form has an exponent and stays a float."""


def canonical_bytes(value: Any) -> bytes:
    """RFC 8785 form of `value` (dicts, lists, str, int within +-2^53, finite float, bool, None), UTF-8.

    Raises IntegrityError for what JSON cannot carry exactly (NaN, larger integers, other types).
    """
    try:
        _check_floats(value)
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        # rfc8785 lets a key that is not Unicode through as UnicodeEncodeError, whose text quotes the key.
        raise IntegrityError(
            "A value has no canonical JSON form",
            expected="JSON types, finite numbers, integers within +-(2^53 - 1), keys that are text",
            found="text that is not Unicode" if isinstance(error, UnicodeEncodeError) else str(error),
            do="pass large integers and times as text",
        ) from None


def _check_floats(value: Any) -> None:
    """A float such as 2.0**53 is written as an integer that could not be read and written again."""
    if isinstance(value, dict):
        for inner in value.values():
            _check_floats(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_floats(inner)
    elif isinstance(value, float) and _LARGEST < abs(value) < 1e21:
        raise rfc8785.FloatDomainError(value)


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data`, 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of the canonical form of `value`, hex."""
    return sha256_hex(canonical_bytes(value))
