"""The compiled half of `tidewatch.text.near_duplicates`, which says what is done and why; here is how."""

from typing import Any

import numpy as np

from tidewatch.text.compiled import compiled

Array = np.ndarray[Any, Any]

_A1, _A2, _A3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_A4, _A5, _MIX = np.uint64(0x27220A95FE9A5D2D), np.uint64(0xD6E8FEB86659FD93), np.uint64(0xFF51AFD7ED558CCD)
_HASH = 40
_LOW = np.uint64((1 << _HASH) - 1)
_DOWN, _UP, _HALF = np.uint64(64 - _HASH), np.uint64(_HASH), np.uint64(32)
_OFTEN = (1 << (63 - _HASH)) - 1
_SLACK = 1e-9
"""A bound is a product of floats: a little less is asked of it, and the quotient itself decides."""


@compiled
def shingles(points: Array, ends: Array, which: Array, salt: np.uint64) -> tuple[Array, Array]:
    """The different n-grams (40 bits of a hash each, uint64, ascending) of the texts `which` of
    `code_points`, and where those of each text begin (int64, one more than texts)."""
    places = np.zeros(which.size + 1, np.int64)
    room, longest = 0, 0
    for number in range(which.size):
        length = ends[which[number] + 1] - ends[which[number]]
        room += length + 1
        longest = max(longest, length)
    found = np.empty(room, np.uint64)
    words: Array = np.empty(longest + 5, np.int32)
    words[:4] = 32
    size = 0
    for number in range(which.size):
        start, end = ends[which[number]], ends[which[number] + 1]
        length = _words(points[start:end], words[4:])
        words[4 + length] = 32
        first = size
        for at in range(5, 5 + length):
            last = np.int64(words[at])
            letter = 97 <= last <= 122 or 48 <= last <= 57 or 0xC0 <= last < 0x1100
            value = salt ^ (np.uint64(last) * _A1 + np.uint64(words[at - 1]) * _A2)
            value += np.uint64(words[at - 2]) * _A3
            if letter:
                value += np.uint64(words[at - 3]) * _A4 + np.uint64(words[at - 4]) * _A5
            value ^= value >> _HALF
            value *= _MIX
            value ^= value >> _HALF
            found[size] = (value * _A1) >> _DOWN
            size += 1
        found[first:size].sort()
        kept = first
        for at in range(first, size):
            if at == first or found[at] != found[kept - 1]:
                found[kept] = found[at]
                kept += 1
        size = kept
        places[number + 1] = size
    return places, found[:size].copy()


@compiled
def _words(points: Array, out: Array) -> Any:
    """Write a normalised text without its punctuation to `out`, and return its length; a text that is nothing
    else stays as it is."""
    size = 0
    for at in range(points.size):
        point = points[at]
        if _is_punctuation(point):
            point = 32
        if point != 32 or (size > 0 and out[size - 1] != 32):
            out[size] = point
            size += 1
    if size > 0 and out[size - 1] == 32:
        size -= 1
    if size == 0:
        out[: points.size] = points
        size = points.size
    return size


@compiled
def _is_punctuation(point: Any) -> Any:
    """Of ASCII, of General Punctuation (dashes, quotes, dots) and of CJK Symbols and Punctuation."""
    if point < 128:
        return 33 <= point <= 47 or 58 <= point <= 64 or 91 <= point <= 96 or 123 <= point <= 126
    return (
        0x2010 <= point <= 0x205E or 0x3001 <= point <= 0x3003 or 0x3008 <= point <= 0x301F or point == 0xB7
    )


@compiled
def order(ends: Array, keys: Array, bits: int) -> None:
    """Sort the n-grams of each text by how rare they are, in place: a key becomes frequency and hash.

    Frequencies are counted by so many bits of the hash: any order will do as long as it is the same for all.
    """
    low = np.uint64((1 << bits) - 1)
    often: Array = np.zeros(1 << bits, np.int32)
    for at in range(keys.size):
        often[np.int64(keys[at] & low)] += 1
    for at in range(keys.size):
        times: Any = min(np.int64(often[np.int64(keys[at] & low)]), _OFTEN)
        keys[at] |= np.uint64(times) << _UP
    for text in range(ends.size - 1):
        keys[ends[text] : ends[text + 1]].sort()


@compiled
def join(ends: Array, keys: Array, texts: Array, threshold: float, bits: int) -> Array:
    """The root of each text: the same for texts that are connected by pairs as similar as `threshold`.

    ends, keys: what `order` left; texts: all of them, from small sets to large ones; bits: of the index.
    """
    low = np.uint64((1 << bits) - 1)
    parents: Array = np.arange(ends.size - 1)
    asked = np.full(ends.size - 1, -1, np.int64)
    both = 2 * threshold / (1 + threshold)
    room = 0
    for text in range(ends.size - 1):
        room += _prefix(ends[text + 1] - ends[text], both)
    owners, tokens = np.empty(room, np.int32), np.empty(room, np.uint64)
    following, skips = np.empty(room, np.int32), np.empty(room, np.int32)
    heads = np.full(1 << bits, -1, np.int32)
    entries = 0
    for place in range(texts.size):
        text = texts[place]
        start, size = ends[text], ends[text + 1] - ends[text]
        least = np.ceil(threshold * size - _SLACK)
        for at in range(start, start + _prefix(size, threshold)):
            entry: Any = np.int64(heads[np.int64(keys[at] & low)])
            while entry >= 0:  # from large sets to small ones
                other: Any = np.int64(owners[entry])
                if ends[other + 1] - ends[other] < least:
                    break
                root: Any = _root(parents, text)
                if _root(parents, other) == root:
                    # Past all that are known to belong together: a thousand copies are one step.
                    skip: Any = np.int64(skips[entry])
                    while skip >= 0 and _root(parents, np.int64(owners[skip])) == root:
                        skip = np.int64(skips[skip])
                    skips[entry] = skip
                    entry = skip
                    continue
                if tokens[entry] == keys[at] and asked[other] != text:
                    asked[other] = text
                    if _similar(ends, keys, text, other, threshold):
                        other = _root(parents, other)
                        parents[max(root, other)] = min(root, other)
                entry = np.int64(following[entry])
        for at in range(start, start + _prefix(size, both)):
            slot = np.int64(keys[at] & low)
            owners[entries], tokens[entries] = text, keys[at]
            following[entries] = skips[entries] = heads[slot]
            heads[slot] = entries
            entries += 1
    for text in range(parents.size):
        parents[text] = _root(parents, text)
    return parents


@compiled
def _prefix(size: Any, share: float) -> Any:
    """So many of the rarest elements: of two sets that share `share` of this one, one is among them."""
    return 0 if size == 0 else size - np.int64(np.ceil(share * size - _SLACK)) + 1


@compiled
def _root(parents: Array, text: Any) -> Any:
    while parents[text] != text:
        parents[text] = parents[parents[text]]
        text = parents[text]
    return text


@compiled
def _similar(ends: Array, keys: Array, first: Any, second: Any, threshold: float) -> Any:
    """Whether the sets of two texts are as similar as `threshold`; gives up as soon as they cannot be."""
    one, two = ends[first], ends[second]
    last_one, last_two = ends[first + 1], ends[second + 1]
    total = last_one - one + last_two - two
    needed = threshold / (1 + threshold) * total - _SLACK
    common = 0
    while one < last_one and two < last_two:
        if common + min(last_one - one, last_two - two) < needed:
            return False
        if keys[one] == keys[two]:
            common += 1
            one += 1
            two += 1
        elif keys[one] < keys[two]:
            one += 1
        else:
            two += 1
    return common / (total - common) >= threshold
