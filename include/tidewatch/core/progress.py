"""How long work tells that it lives."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Takes one finished line, such as `ops: 120.0 MB in, 38.1 MB/s, cn-east 5 parts, ...`."""


def silent(line: str) -> None:
    """Progress that nobody watches."""
    del line


def human_bytes(count: float) -> str:
    """Decimal units, one digit: `812 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < (1000 if unit == "B" else 999.95):
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} PB"
