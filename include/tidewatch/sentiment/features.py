"""What of a text is counted: hashed n-grams of its code points, compiled; no string is made.

Of the normalised text, with a space before and behind it: every character, pair and triple of characters;
four in a row where the last is a letter of an alphabet (Latin, Cyrillic, …), and there every word and pair of
neighbouring words. Each is hashed to one of 2^bits buckets with multilinear multiply-shift hashing over 64
bits (Thorup, "High Speed Hashing for Integers and Strings", arXiv:1504.06804, section 3.3): two different
n-grams meet in one bucket with a probability of about 2^-bits.

`counts` gives the buckets of each text, for training. `scores` gives classes: the weights of a text's known
n-grams, summed, over the square root of their number. Weights are integers, so the order of summing is of no
consequence.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tidewatch.sentiment import LABELS
from tidewatch.text.compiled import compiled
from tidewatch.text.normalise import code_points

if TYPE_CHECKING:
    from tidewatch.text.arrays import Texts

Array = np.ndarray[Any, Any]

PER_CHARACTER = 6
"""The most n-grams that a character of the padded text can bring: four of characters, two of words."""
LANES = 4
"""Numbers for each bucket: a weight for each class, and whether training knew it (1 or 0)."""
_CLASSES = len(LABELS)
_A1, _A2, _A3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_A4, _W1, _W2 = np.uint64(0x27220A95FE9A5D2D), np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F)
_S1, _S2, _S3 = np.uint64(0xE7037ED1A0B428DB), np.uint64(0x8EBC6AF09C88C6E3), np.uint64(0x589965CC75374CC3)
_S4, _S5, _S6 = np.uint64(0x3C79AC492BA7B653), np.uint64(0x1D8E4E27C47D124F), np.uint64(0xEB44ACCAB455D165)
_ZERO = np.uint64(0)


class Rows(NamedTuple):
    """Sparse rows, one a text: which columns (ascending) and how often each occurs."""

    ends: Array  # int64, one more than rows; the first is 0
    columns: Array  # int32
    times: Array  # float32


@compiled
def ngrams(points: Array, length: int, bits: int, out: Array) -> int:
    """Write the buckets of the text points[:length] to `out` (int32, room for PER_CHARACTER * (length + 2)),
    in the order of `tidewatch.sentiment.explain.spell`; returns how many."""
    shift = np.uint64(64 - bits)
    one, two, three = _ZERO, _ZERO, _ZERO
    word, before = _ZERO, _ZERO
    size = 0
    for at in range(-1, length + 1):
        point = 32 if at < 0 or at == length else points[at]
        letter = 97 <= point <= 122 or 48 <= point <= 57 or point == 39 or 0xC0 <= point < 0x1100
        here = np.uint64(point)
        out[size] = (here * _A1 + _S1) >> shift
        size += 1
        if at >= 0:
            out[size] = (one * _A2 + here * _A1 + _S2) >> shift
            size += 1
        if at >= 1:
            out[size] = (two * _A3 + one * _A2 + here * _A1 + _S3) >> shift
            size += 1
        if letter:
            if at >= 2:
                out[size] = (three * _A4 + two * _A3 + one * _A2 + here * _A1 + _S4) >> shift
                size += 1
            word = (word + here) * _W1
        elif word != _ZERO:
            out[size] = ((word + _S5) * _A1) >> shift
            out[size + 1] = ((before * _W2 + word + _S6) * _A1) >> shift
            size += 2
            before, word = word, _ZERO
        three, two, one = two, one, here
    return size


def counts(texts: "Texts", bits: int, *, emoticons: bool = True) -> Rows:
    """The buckets of every text, for training."""
    parts = [_counts(points, ends, bits) for _, points, ends in code_points(texts, emoticons=emoticons)]
    lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(ends) for ends, _, _ in parts)])
    return Rows(
        np.cumsum(lengths),
        np.concatenate([np.empty(0, np.int32), *(columns for _, columns, _ in parts)]),
        np.concatenate([np.empty(0, np.float32), *(times for _, _, times in parts)]),
    )


@compiled
def _counts(points: Array, ends: Array, bits: int) -> tuple[Array, Array, Array]:
    """Rows of these texts. Twice over the texts: once to know how much room is needed."""
    rows = ends.size - 1
    longest = 0
    for row in range(rows):
        longest = max(longest, ends[row + 1] - ends[row])
    found = np.empty(PER_CHARACTER * (longest + 2), np.int32)
    places = np.zeros(rows + 1, np.int64)
    columns = np.empty(0, np.int32)
    times = np.empty(0, np.float32)
    for counting in (True, False):
        at = 0
        for row in range(rows):
            size = ngrams(points[ends[row] : ends[row + 1]], ends[row + 1] - ends[row], bits, found)
            found[:size].sort()
            last = -1
            for number in range(size):
                if found[number] != last:
                    last = found[number]
                    if not counting:
                        columns[at] = last
                        times[at] = 0
                    at += 1
                if not counting:
                    times[at - 1] += 1
            places[row + 1] = at
        if counting:
            columns = np.empty(at, np.int32)
            times = np.empty(at, np.float32)
    return places, columns, times


@compiled
def scores(
    points: Array, ends: Array, bits: int, weights: Array, steps: Array, biases: Array, leanings: Array,
    labels: Array, chances: Array,
) -> None:  # fmt: skip
    """Label (int8) and probabilities (float32, texts x classes) of every text of `code_points`.

    weights: int16, buckets x LANES; steps, biases, leanings: float64, one a class. The score of a class is
    its bias + step * sum of weights / sqrt(known n-grams); the probabilities are their softmax; the label is
    that of the largest score + leaning, the first of several.
    """
    rows = ends.size - 1
    longest = 0
    for row in range(rows):
        longest = max(longest, ends[row + 1] - ends[row])
    found = np.empty(PER_CHARACTER * (longest + 2), np.int32)
    score = np.empty(_CLASSES)
    for row in range(rows):
        size = ngrams(points[ends[row] : ends[row + 1]], ends[row + 1] - ends[row], bits, found)
        first, second, third, known = 0, 0, 0, 0
        for number in range(size):
            bucket = found[number]
            first += weights[bucket, 0]
            second += weights[bucket, 1]
            third += weights[bucket, 2]
            known += weights[bucket, 3]
        scale = 1.0 / np.sqrt(max(known, 1))
        score[0] = biases[0] + steps[0] * first * scale
        score[1] = biases[1] + steps[1] * second * scale
        score[2] = biases[2] + steps[2] * third * scale
        highest = max(score[0], score[1], score[2])
        total, best = 0.0, 0
        for label in range(_CLASSES):
            if score[label] + leanings[label] > score[best] + leanings[best]:
                best = label
        for label in range(_CLASSES):
            score[label] = np.exp(score[label] - highest)
            total += score[label]
        for label in range(_CLASSES):
            chances[row, label] = score[label] / total
        labels[row] = best
