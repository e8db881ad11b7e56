"""The labelled sets as tasks: what is learned from, what is tried on. Texts are only read, never kept."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tidewatch.sentiment import LABELS
from tidewatch.text.normalise import normalise, normalise_array

NUMBERS = {"neg": 0, "neu": 1, "pos": 2}
SETS = ("waimai", "hotel", "shopping", "weibo_senti_part", "ewect_usual", "nlpcc2013", "airline_en")
REVIEWS, WEIBO = ("waimai", "hotel", "shopping"), ("weibo_senti_part", "ewect_usual")
Pairs = list[tuple[str, int]]


@dataclass(frozen=True)
class Task:
    """Learn from `train`, try on each of `tests`; `across`: they are of another domain."""

    train: Pairs
    tests: dict[str, Pairs]
    across: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        there = {label for _, label in self.train}
        return tuple(name for number, name in enumerate(LABELS) if number in there)


class Sets:
    """The files of a directory, read once."""

    def __init__(self, directory: Path) -> None:
        self._rows = {name: list(_rows(directory / f"{name}.csv.gz")) for name in SETS}

    def within(self) -> Iterator[Task]:
        """Each set by its own split, and by time where a time is known."""
        for name in SETS:
            yield Task(self._pairs(name, "train"), {name: self._pairs(name, "dev")})
        timed = sorted(self._rows["airline_en"], key=_time)
        pairs = [(row["text"], NUMBERS[row["label"]]) for row in timed]
        cut = len(pairs) * 4 // 5
        yield Task(pairs[:cut], {"airline_en, by time": pairs[cut:]})

    def across(self) -> Iterator[Task]:
        """Reviews to Weibo and back, negative and positive only, no text on both sides."""
        for sources, targets in ((REVIEWS, WEIBO), *(((source,), REVIEWS) for source in WEIBO)):
            train = [pair for name in sources for pair in self._polar(name, "train")]
            start = "reviews" if sources == REVIEWS else sources[0]
            yield _apart(train, {f"{start} to {name}": self._polar(name, "dev") for name in targets})

    def everything(self, count: int) -> Pairs:
        """`count` labelled texts of all sets, none twice."""
        pairs = {text: label for name in SETS for text, label in self._pairs(name, None)}
        return list(pairs.items())[:count]

    def posts(self, count: int, length: int) -> list[str]:
        """`count` different posts of `length` characters: Weibo, end to end, cut."""
        joined = "".join(row["text"] for row in self._rows["ewect_usual"] + self._rows["weibo_senti_part"])
        step = max(1, (len(joined) - length) // count)
        return [joined[at * step : at * step + length] for at in range(count)]

    def _pairs(self, name: str, split: str | None) -> Pairs:
        rows = [row for row in self._rows[name] if split in (None, row["split"])]
        texts = [row["text"] for row in rows]
        if name == "weibo_senti_part":  # its labels were made from the emoticons
            texts = normalise_array(texts, emoticons=False).to_pylist()
        return [(text, NUMBERS[row["label"]]) for text, row in zip(texts, rows, strict=True)]

    def _polar(self, name: str, split: str) -> Pairs:
        return [(text, label) for text, label in self._pairs(name, split) if label != 1]


def _apart(train: Pairs, tests: dict[str, Pairs]) -> Task:
    tried = {normalise(text) for test in tests.values() for text, _ in test}
    unique = {normalise(text): (text, label) for text, label in train}
    return Task([pair for form, pair in unique.items() if form not in tried], tests, across=True)


def _rows(file: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(1 << 30)
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _time(row: dict[str, str]) -> datetime:
    text = row["time"]
    for form in ("%d-%m-%Y %H.%M", "%d-%m-%Y %H:%M"):
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 (one zone, only compared)
        except ValueError:
            continue
    raise ValueError("a time in another form")
