"""Values of any library as JSON values and as short text."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

_SHORT = 300
_EXACT = 1e15


def clean(value: str) -> str:
    """`value` as PostgreSQL's jsonb can hold it: no NUL (it becomes U+2400), no lone surrogates."""
    return value.replace("\x00", "\u2400").encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: Any) -> Any:
    """`value` as a JSON value. NaN and NaT are null, infinities and exact decimals text, bytes hex."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {clean(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, datetime | date | time):
        # NaT is a datetime to isinstance and unequal to itself.
        return value.isoformat() if value == value else None
    if isinstance(value, timedelta):
        return value.total_seconds() if value == value else None
    return _other(value)


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return float(value) if math.isfinite(value) else str(value)


def _other(value: Any) -> Any:
    """Numpy scalars and arrays know their Python value; pandas.NA is unlike all else; the rest is text."""
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    return clean(str(value))


def text(value: Any) -> str:
    """`value` for a message: one line, no brackets of Python around it."""
    made = plain(value)
    if isinstance(made, list):
        return ", ".join(text(v) for v in made)
    if made is None:
        return "null"
    if isinstance(made, bool):
        return "true" if made else "false"
    if isinstance(made, float):
        return f"{made:.0f}" if made.is_integer() and abs(made) < _EXACT else f"{made:.6g}"
    return " ".join(str(made).split())


def short(value: str) -> str:
    """At most 300 characters, the end marked when it is cut."""
    return value if len(value) <= _SHORT else value[: _SHORT - 1] + "…"
