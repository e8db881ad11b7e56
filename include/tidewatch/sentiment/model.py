"""The model as a file and as a function: `Model.load`, `Model.score`, `Model.explain`.

The file (docs/sentiment.md describes it for others) is a header in JSON between fixed bytes, the weights as
plain integers, and the SHA-256 of all of it. Loading executes nothing, and refuses a file of which one byte
was changed, that was cut short, or that a newer Tidewatch wrote.
"""

import hashlib
import json
import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tidewatch.core.canonical import canonical_bytes
from tidewatch.core.errors import ConfigError, IntegrityError, NotFound
from tidewatch.core.files import replace_file
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.evaluate import recorded
from tidewatch.sentiment.explain import MENTION_WORD, URL_WORD, Explanation, Reason, spell
from tidewatch.text import normalise as form

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewatch.text.arrays import Texts

Array = np.ndarray[Any, Any]

MAGIC = b"tidewatch model\n"
SCHEMA = 1
"""Of the file. A reader refuses what is higher."""
FEATURES = 1
"""Of the n-grams and their hashing (`tidewatch.sentiment.features`)."""
_FIXED = struct.Struct("<16sII")
_DIGEST = 32
_LANES = len(LABELS) + 1
_BITS = range(10, 21)
_NUMBERS = ("steps", "biases", "leanings")
_EVALUATIONS = ("held_out", "held_out_without_emoticons")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, eq=False)
class Model:
    """What was learned. `header` says from what and how well (docs/sentiment.md lists its keys); `weights`
    are int16, 2^bits x 4."""

    header: Mapping[str, Any]
    weights: Array

    @property
    def bits(self) -> int:
        return int(self.header["bits"])

    def score(self, texts: "Texts", *, emoticons: bool = True) -> "pa.Table":
        """Label (int8, a place in LABELS) and calibrated probabilities (float32) of each text, in order.

        A null, and a text without a known n-gram, has the probabilities of the training data. With
        `emoticons=False` emoticons and emoji are left out of account. Raises TypeError for what is no text.
        """
        import pyarrow as pa

        from tidewatch.sentiment.features import scores

        labels = np.empty(len(texts), np.int8)
        chances = np.empty((len(texts), len(LABELS)), np.float32)
        steps, biases, leanings = (self._numbers(name) for name in _NUMBERS)
        for which, points, ends in form.code_points(texts, emoticons=emoticons):
            scores(
                points, ends, self.bits, self.weights, steps, biases, leanings, labels[which],
                chances[which],
            )  # fmt: skip
        columns = {f"p_{name}": pa.array(chances[:, number]) for number, name in enumerate(LABELS)}
        return pa.table({"label": pa.array(labels), **columns})

    def explain(self, text: str, top: int = 10) -> Explanation:
        """Why `text` is scored as it is: the `top` n-grams of the largest effect."""
        from tidewatch.sentiment.features import PER_CHARACTER, ngrams

        scored = self.score([text]).to_pylist()[0]
        label = scored["label"]
        plain = form.normalise(text)
        points = np.array([ord(c) for c in plain], np.int32)
        buckets = np.empty(PER_CHARACTER * (len(points) + 2), np.int32)
        buckets = buckets[: ngrams(points, len(points), self.bits, buckets)]
        found = self.weights[buckets].astype(np.float64)
        known = found[:, -1].sum()
        effects = _over_others(found[:, : len(LABELS)] * self._numbers("steps"), label) / np.sqrt(
            max(known, 1)
        )
        words = spell(plain)
        by_ngram: Counter[str] = Counter()
        for word, effect in zip(words, effects, strict=True):
            by_ngram[word] += effect
        times = Counter(words)
        ranked = sorted(by_ngram.items(), key=lambda pair: (-abs(pair[1]), pair[0]))[:top]
        return Explanation(
            label=LABELS[label],
            probability=float(scored[f"p_{LABELS[label]}"]),
            base=float(_over_others(self._numbers("biases")[None, :], label)[0]),
            unseen=float(1 - known / len(words)),
            reasons=tuple(
                Reason(_shown(word), times[word], float(effect)) for word, effect in ranked if effect
            ),
        )

    def to_bytes(self) -> bytes:
        """The file."""
        header = canonical_bytes(dict(self.header))
        whole = _FIXED.pack(MAGIC, SCHEMA, len(header)) + header + self.weights.astype("<i2").tobytes()
        return whole + hashlib.sha256(whole).digest()

    def save(self, path: Path) -> str:
        """Write the file in one step (whoever is killed leaves the old one); returns its SHA-256."""
        content = self.to_bytes()
        replace_file(path, content, mode=0o644)
        return hashlib.sha256(content).hexdigest()

    @classmethod
    def load(cls, path: Path, expect_sha256: str | None = None) -> Self:
        """Read a file. Raises NotFound, and what `from_bytes` raises."""
        try:
            content = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise NotFound(
                "There is no model there",
                expected=f"a model file at {path}",
                found="no file",
                do="name a file that `tidewatch sentiment train` wrote",
            ) from None
        return cls.from_bytes(content, expect_sha256)

    @classmethod
    def from_bytes(cls, content: bytes, expect_sha256: str | None = None) -> Self:
        """The model of these bytes. Raises IntegrityError for bytes that are not those that were written, or
        not those expected; ConfigError for a model of another version of Tidewatch."""
        if not content.startswith(MAGIC):
            raise _altered("a file that begins with the words `tidewatch model`", "something else")
        if len(content) < _FIXED.size + _DIGEST:
            raise _altered("a whole file", f"its first {len(content)} bytes")
        _, schema, length = _FIXED.unpack_from(content)
        if schema != SCHEMA:
            raise _other_version("file format", SCHEMA, schema)
        digest = hashlib.sha256(memoryview(content)[:-_DIGEST])
        if digest.digest() != content[-_DIGEST:]:
            raise _altered(
                "bytes whose SHA-256 is at the end of the file", "other bytes, or a file cut short"
            )
        if expect_sha256 is not None and hashlib.sha256(content).hexdigest() != expect_sha256:
            raise _altered(f"SHA-256 {expect_sha256[:16]}…", hashlib.sha256(content).hexdigest()[:16] + "…")
        header = _header(content[_FIXED.size : _FIXED.size + length])
        rest = content[_FIXED.size + length : -_DIGEST]
        if len(rest) != 2 * _LANES << header["bits"]:
            raise _altered(f"weights for 2^{header['bits']} buckets", f"{len(rest)} bytes")
        return cls(header, np.frombuffer(rest, "<i2").reshape(-1, _LANES))

    def _numbers(self, name: str) -> Array:
        return np.array(self.header[name], np.float64)


def _header(content: bytes) -> dict[str, Any]:
    """Checked as far as others rely on it: the compiled functions do not look where they reach, and a number
    that is none would make a label of every text."""
    try:
        header = json.loads(content)
        for name, ours in (("features", FEATURES), ("normalise", form.VERSION)):
            if header[name] != ours:
                raise _other_version(name, ours, int(header[name]))
        sound = type(header["bits"]) is int and header["bits"] in _BITS and header["labels"] == list(LABELS)
        sound = sound and all(_three_numbers(header[name]) for name in _NUMBERS)
        sound = sound and _SHA256.fullmatch(header["dataset_sha256"]) is not None
        sound = sound and isinstance(header["parameters"], dict)
        sound = sound and all(recorded(header["metrics"], name) is not None for name in _EVALUATIONS)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        sound = False
    if not sound:
        raise _altered("a header as docs/sentiment.md describes it", "another one")
    return dict(header)


def _three_numbers(found: Any) -> bool:
    numbers = np.array(found, np.float64)
    return numbers.shape == (len(LABELS),) and bool(np.isfinite(numbers).all())


def _over_others(scores: Array, label: int) -> Array:
    """Of rows of scores: that of `label` less the mean of the other classes the model knows."""
    others = [number for number in range(len(LABELS)) if number != label]
    return np.asarray(scores[:, label] - scores[:, others].mean(axis=1))


def _shown(ngram: str) -> str:
    return ngram.replace(form.URL, URL_WORD).replace(form.MENTION, MENTION_WORD)


def _altered(expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        "This is not the model file that was written",
        expected=expected,
        found=found,
        do="fetch it again from where it came from, or train it again; the model in use is untouched",
    )


def _other_version(what: str, ours: int, theirs: int) -> ConfigError:
    newer = theirs > ours
    return ConfigError(
        f"The model was made by {'a newer' if newer else 'an older'} Tidewatch",
        expected=f"version {ours} of its {what}",
        found=f"version {theirs}",
        do="update Tidewatch" if newer else "train the model again with this version",
    )
