"""How values look on a page. Everything that is not markup of ours is escaped, and nothing in it can steer
the page or the direction of reading."""

import json
import re
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from tidewatch.core.clock import iso, require_utc
from tidewatch.core.plain import is_plain
from tidewatch.core.progress import human_bytes

NOTHING = "–"
_NOTHING = Markup("–")
_EMOJI = "[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]"
_JOINER = re.compile(f"(?<={_EMOJI})\u200d(?={_EMOJI})")


def visible(value: Any) -> Any:
    """What Jinja puts into a page: text with marks of direction, control characters and the like shown as
    what they are (`\\u202e`). Line breaks and tabs stay."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return NOTHING if value is None else value
    return "".join(c if c in "\n\t" or is_plain(c) else c.encode("unicode_escape").decode() for c in value)


class Shown:
    """Filters that depend on the time zone of the pages."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone

    def time(self, moment: datetime | None) -> Markup:
        """`2026-11-22 07:50` in the zone of the pages; the instant itself for programs."""
        if moment is None:
            return _NOTHING
        local = require_utc(moment).astimezone(self.zone)
        return Markup('<time datetime="{}">{}</time>').format(iso(moment), local.strftime("%Y-%m-%d %H:%M"))

    def day(self, moment: datetime) -> date:
        """The calendar day of the moment, here."""
        return require_utc(moment).astimezone(self.zone).date()


def size(count: float | None) -> str:
    return NOTHING if count is None else human_bytes(count)


def number(value: float | None) -> str:
    """`12,345`."""
    return NOTHING if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """`850 ms`, `12.4 s`, `3 min 20 s`, `5 h 12 min`, `2 d 3 h`."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def short(digest: str | None) -> Markup:
    """The first 12 digits of a digest, whole on demand."""
    if not digest:
        return _NOTHING
    return Markup('<code class="digest" title="{0}">{1}…</code>').format(digest, digest[:12])


def code(text: Any) -> Markup:
    """Something that people copy: an id, a key, a hash."""
    return _NOTHING if text is None else Markup("<code><bdi>{}</bdi></code>").format(visible(str(text)))


def exact(text: Any) -> Markup:
    """Escaped and nothing else: for the values of fields, which come back as they went out."""
    return escape(text)


def paragraphs(text: str | None) -> Markup:
    """Text with its line breaks, in a direction of its own."""
    return Markup('<span class="said" dir="auto">{}</span>').format(visible(text or NOTHING))


def post(text: str) -> Markup:
    """What a stranger wrote, as `paragraphs`; a joiner between two emoji makes one sign of them and stays."""
    shown = "\u200d".join(visible(part) for part in _JOINER.split(text))
    return Markup('<bdi><span class="said">{}</span></bdi>').format(shown)


def share(value: float | None) -> str:
    """`87.4%`."""
    return NOTHING if value is None else f"{value:.1%}"


def pretty(value: Any) -> Markup:
    """JSON, indented, as text."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return escape(visible(text))
