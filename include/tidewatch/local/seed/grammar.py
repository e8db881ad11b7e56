"""Texts from templates: `{slot}` is a word of a list, `{2-30}` a whole number between the two."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tidewatch.core.errors import ConfigError

TEXTS = Path(__file__).parent / "texts"

_SLOT = re.compile(r"\{([^{}]+)\}")
_RANGE = re.compile(r"^(\d+)-(\d+)$")

Templates = Sequence[str]
_Part = str | tuple[str, tuple[str, ...]] | range
# A compiled template: literal text, a slot with its words, or the numbers of a range.


@cache
def load(name: str) -> Any:
    """The content of `texts/<name>.yaml`; shared, so callers must not change it."""
    return yaml.safe_load((TEXTS / f"{name}.yaml").read_text(encoding="utf-8"))


class Writer:
    """Writes texts of one language; equal random states give equal texts."""

    def __init__(self, words: Mapping[str, Sequence[str]]) -> None:
        self.words = {name: tuple(choices) for name, choices in words.items()}
        self._compiled: dict[str, tuple[_Part, ...]] = {}

    def text(self, templates: Templates, rng: Random, bound: dict[str, str] | None = None) -> str:
        """One of the templates, filled, its first letter a capital; see `fill`."""
        text = self.fill(rng.choice(templates), rng, bound)
        return text[:1].upper() + text[1:]

    def fill(self, template: str, rng: Random, bound: dict[str, str] | None = None) -> str:
        """This template, its slots filled. Raises ConfigError for a slot without a list.

        `bound` keeps the words drawn, so that texts which share it speak of the same product.
        """
        parts = self._compiled.get(template)
        if parts is None:
            parts = self._compiled[template] = self._compile(template)
        filled = []
        for part in parts:
            if isinstance(part, str):
                filled.append(part)
            elif isinstance(part, range):
                filled.append(str(part[int(rng.random() * len(part))]))
            else:
                slot, words = part
                word = words[int(rng.random() * len(words))]
                filled.append(word if bound is None else bound.setdefault(slot, word))
        return "".join(filled)

    def word(self, slot: str, rng: Random) -> str:
        """One word of a list."""
        return rng.choice(self.words[slot])

    def _compile(self, template: str) -> tuple[_Part, ...]:
        pieces = _SLOT.split(template)
        parts: list[_Part] = []
        for index, piece in enumerate(pieces):
            if index % 2 == 0:
                if piece:
                    parts.append(piece)
                continue
            numbers = _RANGE.match(piece)
            if numbers:
                parts.append(range(int(numbers[1]), int(numbers[2]) + 1))
            elif piece in self.words:
                parts.append((piece, self.words[piece]))
            else:
                raise ConfigError(
                    f"A sample text has the unknown slot {{{piece}}}",
                    expected=f"one of {', '.join(sorted(self.words))} or a range such as 2-30",
                    found=template,
                    do="correct the text or add the list to texts/words.yaml",
                )
        return tuple(parts)


@cache
def writers() -> Mapping[str, Writer]:
    """Language -> writer."""
    return {lang: Writer(words) for lang, words in load("words").items()}
