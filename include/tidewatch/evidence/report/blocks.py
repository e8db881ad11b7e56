"""What a page is made of, in one language, before it is HTML or PDF. Text here is safe to show: whatever
steers or turns text has become an escape."""

from dataclasses import dataclass, field
from typing import Literal

from tidewatch.core.plain import plain

Tone = Literal["", "good", "bad", "warn", "mild"]


@dataclass(frozen=True)
class Cell:
    """A piece of text. `code`: an id or a digest, set in a fixed width."""

    text: str
    tone: Tone = ""
    code: bool = False


@dataclass(frozen=True)
class Column:
    """`weight`: its share of the width."""

    title: str
    weight: float = 1.0
    number: bool = False


@dataclass(frozen=True)
class Para:
    """A paragraph."""

    text: str
    tone: Tone = ""
    type: Literal["para"] = "para"


@dataclass(frozen=True)
class Heading:
    """Within a section."""

    text: str
    type: Literal["heading"] = "heading"


@dataclass(frozen=True)
class Facts:
    """Labels with values."""

    rows: list[tuple[str, Cell]]
    type: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Table:
    """Rows of cells. Without rows a reader sees `empty`."""

    columns: list[Column]
    rows: list[list[Cell]]
    empty: str
    type: Literal["table"] = "table"


@dataclass(frozen=True)
class Line:
    """One source in one region: a sign a day. `first`: the line begins a source of `lines` lines."""

    source: str
    region: str
    cells: list[Cell]
    first: bool
    lines: int


@dataclass(frozen=True)
class Calendar:
    """The heat map. Signs say what colours say."""

    days: list[str]
    lines: list[Line]
    legend: list[Cell]
    source_title: str
    region_title: str
    type: Literal["calendar"] = "calendar"


@dataclass(frozen=True)
class Code:
    """Commands to type."""

    lines: list[str]
    type: Literal["code"] = "code"


Block = Para | Heading | Facts | Table | Calendar | Code


@dataclass(frozen=True)
class Section:
    """A numbered part; `name` is what config/controls.yaml calls it."""

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """The whole report in one language."""

    language: Literal["zh", "en"]
    title: str
    subtitle: str
    contents: str
    page_label: str
    footer: str
    sections: list[Section]


_CUT = 600


def show(value: object, *, cut: int = _CUT) -> str:
    """`value` as text that does nothing but show; of very long text the beginning."""
    text = "–" if value is None or value == "" else str(value)
    return plain(text if len(text) <= cut else text[: cut - 1] + "…")


def cell(value: object, tone: Tone = "", *, code: bool = False, cut: int = _CUT) -> Cell:
    """A cell of any value."""
    return Cell(show(value, cut=cut), tone, code)
