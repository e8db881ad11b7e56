"""The rules of `normalise` once more, slowly, as regular expressions: what the compiled one must equal."""

import re
from collections.abc import Callable

from tidewatch.text.normalise import MENTION, URL, tables

_TABLE, _FLAGS = tables()


def _class(flag: int) -> str:
    return "[" + "".join(re.escape(chr(p)) for p in range(_FLAGS.size) if _FLAGS[p] & flag) + "]"


NAME, EMOJI, EYE = _class(1), _class(2), _class(4)
_ADDRESS = re.compile(
    r"(?:https?://|(?<![0-9a-z])www\.(?=[0-9a-z]))[!#-;=?-Z_a-z]*(?<![!'()*,.:;?])|(?<![0-9a-z])@"
    + NAME
    + "{1,30}"
)
_EMOTICON = re.compile(
    rf"{EMOJI}|\[[^\[\] ]{{1,8}}\]|(?<![0-9])[:;]-?[()](?![0-9])"
    rf"|(?<![0-9a-z]){EYE}_+(?:(?![0-9a-z]){EYE}|{EYE}(?![0-9a-z]))"
)
_REPEATED = re.compile(r"([^0-9 ])\1{3,}")


def slow_normalise(text: str, *, emoticons: bool = True) -> str:
    text = _tidy("".join(_character(ord(c)) for c in text))
    text = _tidy(_replace(_ADDRESS, text, _mark))
    if not emoticons:
        text = _tidy(_replace(_EMOTICON, text, lambda found: " "))
        text = _tidy(_replace(_ADDRESS, text, _mark))
    return text.strip(" ")


def _mark(found: str) -> str:
    return MENTION if found[0] == "@" else URL


def _replace(pattern: re.Pattern[str], text: str, mark: Callable[[str], str]) -> str:
    """As re.sub, but what a match looks back at is what was written before it."""
    written, at, before = "", 0, " "
    while at < len(text):
        found = pattern.match(before + text[at:], 1)
        before = mark(found[0]) if found else text[at]
        written += before
        at += len(found[0]) if found else 1
    return written


def _tidy(text: str) -> str:
    return _REPEATED.sub(r"\1\1\1", re.sub(" +", " ", text)).lstrip(" ")


def _character(point: int) -> str:
    if point >= _TABLE.size:
        return "" if point >> 16 == 0xE else chr(point)
    return chr(_TABLE[point]) if _TABLE[point] else ""
