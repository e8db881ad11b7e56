"""One form for a text, so that what people mean alike looks alike: `normalise`; for many, `normalise_array`.

In this order:

1. Characters. Full width becomes half width and compatibility forms plain ones (NFKC, character by
   character); capitals become small; traditional Chinese characters become simplified ones (OpenCC's table of
   characters); zero-width characters, variation selectors, skin tones and lone surrogates go; every kind of
   white space, and control characters, become a space.
2. Repetitions. A character more than three times in a row stands three times (digits stay: they are
   amounts); several spaces are one; none stands at the start or the end.
3. Addresses (`http://…`, `https://…`, `www.…`, without punctuation at their end) become `URL`, mentions
   (`@name`, names of up to 30 letters, digits, `_` and `-`) become `MENTION`: one character each, from
   Unicode's private use area.
4. With `emoticons=False`: emoji, platform emoticons such as `[泪]` (up to eight characters in square
   brackets), `:)` and `^_^` become a space.

Normalising twice changes nothing. The result depends on the text alone, not on the versions of Python or of
a library: the properties of characters are those of Unicode 3.2, which Python keeps for IDNA
(`unicodedata.ucd_3_2_0`); emoji are told by their blocks, from emoji-data.txt of Unicode 15.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewatch.text.arrays import Texts

Array = np.ndarray[Any, Any]

URL = "\ue000"
MENTION = "\ue001"
VERSION = 1
"""Of the rules: what was trained on texts in one form is of no use for texts in another."""

_AT_ONCE = 1 << 21
"""Bytes of UTF-8 at a time: what comes of them fits into the processor's cache."""
_PLANES = 3
"""Planes 0 to 2 have a table; beyond, characters stay as they are, but for tags, which go."""
_EMOJI = [
    (0x203C, 0x203C), (0x2049, 0x2049), (0x2122, 0x2122), (0x2139, 0x2139), (0x2194, 0x21AA),
    (0x231A, 0x231B), (0x2328, 0x2328), (0x23CF, 0x23CF), (0x23E9, 0x23FA), (0x24C2, 0x24C2),
    (0x25AA, 0x25AB), (0x25B6, 0x25B6), (0x25C0, 0x25C0), (0x25FB, 0x25FE), (0x2600, 0x27BF),
    (0x2934, 0x2935), (0x2B05, 0x2B07), (0x2B1B, 0x2B1C), (0x2B50, 0x2B50), (0x2B55, 0x2B55),
    (0x3030, 0x3030), (0x303D, 0x303D), (0x1F000, 0x1FAFF),
]  # fmt: skip
_EYES = "^><-=~;*toqxu"
_GONE = [
    (0x00AD, 0x00AD), (0x180B, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
    (0xD800, 0xDFFF), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFF), (0x1F3FB, 0x1F3FF),
]  # fmt: skip


def normalise(text: str, *, emoticons: bool = True) -> str:
    """`text` in the form that this module describes."""
    from tidewatch.text.folding import fold

    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    points = np.empty(data.size, np.int32)
    length = fold(data, 0, data.size, *tables(), emoticons, points)
    return points[:length].astype("<u4").tobytes().decode("utf-32-le")


def normalise_array(texts: "Texts", *, emoticons: bool = True) -> "pa.Array":
    """The same for many: large_string, as long as `texts`, null where they are null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from tidewatch.text.arrays import utf8
    from tidewatch.text.folding import encode, fold_all

    array, data, offsets = utf8(texts)
    sink, places = encode(*fold_all(data, offsets, *tables(), emoticons))
    buffers = [None, pa.py_buffer(places), pa.py_buffer(sink)]
    folded = pa.Array.from_buffers(pa.large_string(), len(array), buffers)
    return pc.if_else(array.is_valid(), folded, None) if array.null_count else folded


def code_points(texts: "Texts", *, emoticons: bool = True) -> Iterator[tuple[slice, Array, Array]]:
    """The normalised texts as the compiled functions of other rooms take them, some megabytes at a time.

    Yields which texts, their code points one after the other (int32), and where each begins (int64, one more
    than texts). Other rooms call no compiled function of this one from theirs: numba would keep on disk what
    it compiled into theirs and not see when ours changes.
    """
    from tidewatch.text.arrays import utf8
    from tidewatch.text.folding import fold_all

    _, data, offsets = utf8(texts)
    row, rows = 0, len(offsets) - 1
    while row < rows:
        upto = int(np.searchsorted(offsets, offsets[row] + _AT_ONCE, side="right")) - 1
        upto = min(max(upto, row + 1), rows)
        yield slice(row, upto), *fold_all(data, offsets[row : upto + 1], *tables(), emoticons)
        row = upto


@cache
def tables() -> tuple[np.ndarray[Any, np.dtype[np.int32]], np.ndarray[Any, np.dtype[np.uint8]]]:
    """For the compiled functions: which character stands for one (0 for none), and what kind it is."""
    from tidewatch.text.folding import EMOJI, EYE, NAME

    size = _PLANES << 16
    simplified = dict(_simplified())
    table = np.fromiter((_folded(point, simplified) for point in range(size)), np.int32, size)
    for first, last in _GONE:
        table[first : last + 1] = 0
    flags = np.zeros(size, np.uint8)
    for point in range(size):
        if unicodedata.ucd_3_2_0.category(chr(point))[0] in "LN" or chr(point) in "_-":
            flags[point] |= NAME
    for first, last in _EMOJI:
        flags[first : last + 1] |= EMOJI
    flags[[ord(c) for c in _EYES]] |= EYE
    table.flags.writeable = flags.flags.writeable = False
    return table, flags


def _folded(point: int, simplified: dict[str, str]) -> int:
    character = chr(point)
    category = unicodedata.ucd_3_2_0.category(character)
    if category in {"Zs", "Zl", "Zp", "Cc"}:
        return 0x20
    if category in {"Cn", "Cs", "Co"}:
        return point
    while True:
        plain = _single(unicodedata.ucd_3_2_0.normalize("NFKC", character), character)
        small = _single(plain.lower(), plain)
        folded = simplified.get(small, small)
        if folded == character:
            return ord(folded)
        character = folded


def _single(form: str, character: str) -> str:
    """`form` where it is one character to be seen, else the character as it was."""
    return form if len(form) == 1 and not form.isspace() else character


def _simplified() -> Iterator[tuple[str, str]]:
    """Pairs of a traditional character and its simplified one (traditional.txt says where it is from)."""
    for line in files(__package__).joinpath("traditional.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line[0], line[1]
