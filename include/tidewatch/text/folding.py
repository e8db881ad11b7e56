"""The compiled half of `tidewatch.text.normalise`, which says what is done and why; here is how.

A text comes as UTF-8 bytes, as in an Arrow buffer, and leaves as code points. Bytes that are no UTF-8 are
passed over; nothing is read beyond the end.
"""

import numpy as np

from tidewatch.text.compiled import compiled

URL = 0xE000
MENTION = 0xE001
NAME, EMOJI, EYE = 1, 2, 4
_REPEATS = 3
_NAME_LENGTH = 30
_EMOTICON_LENGTH = 8


@compiled
def fold(
    data: np.ndarray,
    start: int,
    end: int,
    table: np.ndarray,
    flags: np.ndarray,
    emoticons: bool,
    out: np.ndarray,
) -> int:
    """Normalise data[start:end] (uint8) into `out` (int32, at least end - start long); returns the length."""
    length = _decode(data, start, end, table, out)
    length = _replace(out, length, flags)
    if not emoticons:
        length = _remove(out, length, flags)
        length = _replace(out, length, flags)  # T_T@name: an address of mail no longer, but a mention
    if length > 0 and out[length - 1] == 32:
        length -= 1
    return length


@compiled
def _decode(data: np.ndarray, start: int, end: int, table: np.ndarray, out: np.ndarray) -> int:
    size = 0
    at = start
    while at < end:
        first = int(data[at])
        at += 1
        if first < 0x80:
            point = first
        elif first < 0xE0:
            if first < 0xC2 or at >= end or data[at] & 0xC0 != 0x80:
                continue
            point = (first & 0x1F) << 6 | int(data[at] & 0x3F)
            at += 1
        elif first < 0xF0:
            if at + 1 >= end or data[at] & 0xC0 != 0x80 or data[at + 1] & 0xC0 != 0x80:
                continue
            point = (first & 0xF) << 12 | int(data[at] & 0x3F) << 6 | int(data[at + 1] & 0x3F)
            at += 2
            if point < 0x800:
                continue
        else:
            if first > 0xF4 or at + 2 >= end or data[at] & 0xC0 != 0x80:
                continue
            if data[at + 1] & 0xC0 != 0x80 or data[at + 2] & 0xC0 != 0x80:
                continue
            point = (first & 7) << 18 | int(data[at] & 0x3F) << 12
            point |= int(data[at + 1] & 0x3F) << 6 | int(data[at + 2] & 0x3F)
            at += 3
            if point < 0x10000 or point > 0x10FFFF:
                continue
        if point < table.size:
            point = int(table[point])
        elif point >> 16 == 0xE:  # tags and variation selectors
            point = 0
        if point != 0:
            size = _put(out, size, point)
    return size


@compiled
def _put(out: np.ndarray, size: int, point: int) -> int:
    """Write a character unless it is one repetition too many, or a space after a space or at the start."""
    if point == 32:
        if size == 0 or out[size - 1] == 32:
            return size
    elif size >= _REPEATS and not 48 <= point <= 57:
        repeated = out[size - 1] == point and out[size - 2] == point and out[size - 3] == point
        if repeated:
            return size
    out[size] = point
    return size + 1


@compiled
def _replace(out: np.ndarray, length: int, flags: np.ndarray) -> int:
    """Marks for addresses and mentions: in place, since none becomes longer."""
    size = 0
    at = 0
    previous = 32
    while at < length:
        point = out[at]
        after = at + 1
        if point == 104 or point == 119:
            after = _address(out, at, length, previous)
            if after > at + 1:
                point = URL
        elif point == 64 and not _latin(previous):
            while after < length and after - at <= _NAME_LENGTH and _is(flags, out[after], NAME):
                after += 1
            if after > at + 1:
                point = MENTION
        previous = point
        size = _put(out, size, point)
        at = after
    return size


@compiled
def _remove(out: np.ndarray, length: int, flags: np.ndarray) -> int:
    """A space for each emoticon, in place."""
    size = 0
    at = 0
    previous = 32
    while at < length:
        point = out[at]
        after = _emoticon(out, at, length, previous, flags)
        if after > at:
            point = 32
        else:
            after = at + 1
        previous = point
        size = _put(out, size, point)
        at = after
    return size


@compiled
def _is(flags: np.ndarray, point: int, flag: int) -> bool:
    return point < flags.size and flags[point] & flag != 0


@compiled
def _latin(point: int) -> bool:
    return 48 <= point <= 57 or 97 <= point <= 122


@compiled
def _address(out: np.ndarray, at: int, length: int, previous: int) -> int:
    """Where the address that starts at `at` ends; at + 1 when none does."""
    if out[at] == 104:  # http:// or https://
        if at + 7 > length or out[at + 1] != 116 or out[at + 2] != 116 or out[at + 3] != 112:
            return at + 1
        after = at + 4
        if out[after] == 115:
            after += 1
        if after + 3 > length or out[after] != 58 or out[after + 1] != 47 or out[after + 2] != 47:
            return at + 1
        after += 3
    else:  # www.
        if at + 5 > length or out[at + 1] != 119 or out[at + 2] != 119 or out[at + 3] != 46:
            return at + 1
        if _latin(previous) or not _latin(out[at + 4]):
            return at + 1
        after = at + 4
    while after < length and _in_address(out[after]):
        after += 1
    while _ends_no_address(out[after - 1]):
        after -= 1
    return after


@compiled
def _ends_no_address(point: int) -> bool:
    """! ' ( ) * , . : ; ?"""
    return point == 33 or 39 <= point <= 42 or point == 44 or point == 46 or 58 <= point <= 59 or point == 63


@compiled
def _in_address(point: int) -> bool:
    """RFC 3986: the characters of a URI, without brackets, which posts put around it, and quotes."""
    if point <= 32 or point >= 127:
        return False
    return not (point == 34 or point == 60 or point == 62 or 91 <= point <= 94 or point == 96 or point >= 123)


@compiled
def _emoticon(out: np.ndarray, at: int, length: int, previous: int, flags: np.ndarray) -> int:
    """Where the emoticon that starts at `at` ends; `at` when none does."""
    point = out[at]
    if _is(flags, point, EMOJI):
        return at + 1
    if point == 91:  # [泪]
        after = at + 1
        while after < length and after - at <= _EMOTICON_LENGTH + 1:
            if out[after] == 93:
                return after + 1 if after > at + 1 else at
            if out[after] == 91 or out[after] == 32:
                return at
            after += 1
        return at
    if (point == 58 or point == 59) and not 48 <= previous <= 57:  # :) :-( ;)
        after = at + 1
        if after < length and out[after] == 45:
            after += 1
        mouth = after < length and (out[after] == 40 or out[after] == 41)
        if mouth and (after + 1 == length or not 48 <= out[after + 1] <= 57):
            return after + 1
    if _is(flags, point, EYE) and not _latin(previous):  # ^_^ t_t >__<
        after = at + 1
        while after < length and out[after] == 95:
            after += 1
        if after > at + 1 and after < length and _is(flags, out[after], EYE):
            word = _latin(out[after]) and after + 1 < length and _latin(out[after + 1])
            return at if word else after + 1
    return at


@compiled
def fold_all(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, flags: np.ndarray, emoticons: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The code points of all texts of an Arrow buffer, one after the other, and where each begins (int64)."""
    texts = offsets.size - 1
    ends = np.zeros(texts + 1, np.int64)
    points = np.empty(offsets[texts] - offsets[0], np.int32)
    for row in range(texts):
        at = ends[row]
        ends[row + 1] = at + fold(data, offsets[row], offsets[row + 1], table, flags, emoticons, points[at:])
    return points[: ends[texts]], ends


@compiled
def encode(points: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 (uint8) of texts that `fold_all` gave, and where each begins (int64)."""
    sink = np.empty(4 * points.size, np.uint8)
    offsets = np.zeros(ends.size, np.int64)
    size = 0
    for row in range(ends.size - 1):
        for at in range(ends[row], ends[row + 1]):
            size = _encode(points[at], sink, size)
        offsets[row + 1] = size
    return sink[:size].copy(), offsets


@compiled
def _encode(point: int, sink: np.ndarray, size: int) -> int:
    if point < 0x80:
        sink[size] = point
        return size + 1
    if point < 0x800:
        sink[size] = 0xC0 | point >> 6
        sink[size + 1] = 0x80 | point & 0x3F
        return size + 2
    if point < 0x10000:
        sink[size] = 0xE0 | point >> 12
        sink[size + 1] = 0x80 | point >> 6 & 0x3F
        sink[size + 2] = 0x80 | point & 0x3F
        return size + 3
    sink[size] = 0xF0 | point >> 18
    sink[size + 1] = 0x80 | point >> 12 & 0x3F
    sink[size + 2] = 0x80 | point >> 6 & 0x3F
    sink[size + 3] = 0x80 | point & 0x3F
    return size + 4
