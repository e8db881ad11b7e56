"""Which texts are copies of each other, but for little: `groups`.

Two normalised texts are near-duplicates when the sets of their n-grams (three characters in a row, five where
the last is a letter of an alphabet or a digit, with a space before and behind the text) have a Jaccard
similarity of `threshold` at least: common n-grams over all n-grams of the two. Punctuation counts as a space
unless there is nothing else. A group is what is connected by such pairs.

Nothing is left to chance: the pairs are found by an exact set similarity join, PPJoin (Xiao, Wang, Lin and
Yu, "Efficient Similarity Joins for Near Duplicate Detection", WWW 2008): two sets that are so similar share
one of their rarest elements, so only texts that share one are compared. For posts, most of whose rarest
n-grams occur nowhere else, that costs less than MinHash, and misses none. N-grams are told apart by 40 bits
of a hash: of a billion pairs of different ones, one in a thousand times two are taken for one.
"""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tidewatch.text.normalise import code_points

if TYPE_CHECKING:
    from tidewatch.text.arrays import Texts

Array = np.ndarray[Any, Any]

THRESHOLD = 0.7
"""A post of 20 Chinese characters of which one in the middle was changed is still the same."""

_FEWEST_BITS, _MOST_BITS = 8, 22
"""Of the tables that n-grams are counted and looked up in: about as many places as there are n-grams."""


def groups(texts: "Texts", *, threshold: float = THRESHOLD, seed: int = 0) -> Array:
    """The group of each text (int64), numbered from 0 in the order in which the groups first occur.

    Which texts belong together depends on neither their order nor their number of copies. Null is the empty
    text; texts that are empty once normalised are copies of each other. `seed`: of the hash, so that nobody
    can prepare texts whose n-grams meet. Raises ValueError for a threshold outside ]0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"a threshold above 0 and up to 1 is needed, not {threshold}")
    # Here, so that importing this module does not import numba.
    from tidewatch.text.similar import join, order

    salt = hashlib.blake2b(str(seed).encode(), digest_size=8).digest()
    digests: list[bytes] = []
    place: dict[bytes, int] = {}
    parts = list(_shingled(texts, digests, place, np.frombuffer(salt, np.uint64)[0]))
    sizes = np.concatenate([np.empty(0, np.int64), *(np.diff(ends) for ends, _ in parts)])
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    keys = np.concatenate([np.empty(0, np.uint64), *(keys for _, keys in parts)])
    del parts
    bits = min(max(keys.size.bit_length(), _FEWEST_BITS), _MOST_BITS)
    order(ends, keys, bits)
    # From small to large, equal ones by content: nothing depends on the order in which texts came.
    content = np.array(list(place), "S16") if place else np.empty(0, "S16")
    roots = join(ends, keys, np.lexsort((content, sizes)), threshold, bits)
    found = roots[np.fromiter((place[digest] for digest in digests), np.int64, len(digests))]
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse])


def _shingled(
    texts: "Texts", digests: list[bytes], place: dict[bytes, int], salt: np.uint64
) -> Iterator[tuple[Array, Array]]:
    """N-grams of every different text, some thousands of texts at a time: where each begins, and their keys.
    Writes the digest of every text to `digests`, and of each different one its number to `place`."""
    from tidewatch.text.similar import shingles

    for _, points, ends in code_points(texts):
        content = points.tobytes()
        fresh = []
        for row, (start, end) in enumerate(zip(ends[:-1] * 4, ends[1:] * 4, strict=True)):
            digest = hashlib.blake2b(content[start:end], digest_size=16).digest()
            digests.append(digest)
            if digest not in place:
                place[digest] = len(place)
                fresh.append(row)
        yield shingles(points, ends, np.array(fresh, np.int64), salt)
