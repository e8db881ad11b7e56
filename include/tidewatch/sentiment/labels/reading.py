"""A row of a file as a label that can be kept, or the reason why not."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from tidewatch.core.clock import require_utc
from tidewatch.sentiment.labels.mapping import LabelsFile
from tidewatch.sentiment.labels.mapping import Mapping as Columns
from tidewatch.sentiment.labels.posts import (
    LONGEST_ID,
    LONGEST_PLATFORM,
    Label,
    Post,
    name_problem,
    text_problem,
    tidy,
)
from tidewatch.sentiment.labels.rows import Formula, Row
from tidewatch.sentiment.labels.store import RESERVED, Given
from tidewatch.sentiment.labels.studio import ANNOTATOR, LABELLED_AT

REASONS: dict[str, str] = {
    "columns": "the row has another number of cells than the first one, or is no object",
    "no_text": "there is no text",
    "text": "the text cannot be kept",
    "no_label": "there is no label",
    "label": "the label is no word that the mapping knows",
    "several_labels": "one annotation has several labels",
    "annotator": "who gave the label is missing, or cannot be a name",
    "identity": "platform and id: one of them is missing, or cannot be one",
    "id_rounded": "the id is a number that Excel has rounded (more than 15 digits); make the column text",
    "formula": "a cell is computed (a formula) or an error; keep values only",
    "time": "a time cannot be read; write 2026-11-22T08:00:00+08:00",
    "no_zone": "a time has no zone, and the mapping names no `timezone`",
    "future": "a time lies in the future",
    "contradictory": "the file has two labels of one annotator for this post, and no times to order them",
    "two_texts": "the file has two texts for this post",
    "text_differs": "the post is known with another text",
    "deleted": "the post was deleted and does not come back",
}
"""Why a row is refused: code and sentence. No sentence ever holds what the row says."""

_Made = TypeVar("_Made")
_EXACT = 10**15
_ROUNDED = re.compile(r"\d(\.\d+)?[eE]\+\d+")
_NUMBER = re.compile(r"[-+]?\d{1,6}(\.\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not taken. `said` holds nothing of its text."""

    row: int
    reason: str
    said: str


class _Refused(Exception):
    def __init__(self, reason: str, more: str = "") -> None:
        super().__init__(reason)
        self.reason, self.more = reason, more


class Reader:
    """Turns rows into `Given`, whose numbers count what was taken; `rows[number]` is the row in the file."""

    def __init__(
        self,
        file: LabelsFile,
        mapping: Columns,
        annotator: str | None,
        now: datetime,
        *,
        corpus: bool = False,
    ) -> None:
        self._mapping, self._annotator, self._now = mapping, annotator, require_utc(now)
        self._meanings = file.meanings(mapping)
        self._reserved: tuple[str, ...] = () if corpus else RESERVED
        self._longest = file.limits.text_chars
        self._zone = ZoneInfo(mapping.timezone) if mapping.timezone else None
        self.rows: list[int] = []
        self.labels: list[Label] = []
        self.refused: list[Refusal] = []
        self.read = 0

    def given(self, rows: Iterator[Row]) -> Iterator[Given]:
        """The rows that can be kept; the others are in `refused` afterwards."""
        for number, (label, post, who, when) in self._read(rows, self._parts):
            self.labels.append(label)
            yield Given(number, post, label, who, when)

    def posts(self, rows: Iterator[Row]) -> Iterator[Post]:
        """The posts of a file without labels (`Mapping.without_labels`)."""
        for _, post in self._read(rows, self._post):
            yield post

    def _read(
        self, rows: Iterator[Row], read: Callable[[Mapping[str, Any]], _Made]
    ) -> Iterator[tuple[int, _Made]]:
        """What `read` makes of each row, with its place among those that were taken."""
        for number, cells in rows:
            self.read += 1
            try:
                if isinstance(cells, str):
                    raise _Refused(cells)
                found = read(cells)
            except _Refused as error:
                self.refuse(number, error.reason, error.more)
                continue
            self.rows.append(number)
            yield len(self.rows) - 1, found

    def refuse(self, row: int, reason: str, more: str = "") -> None:
        """Note a row that is not taken."""
        self.refused.append(Refusal(row, reason, f"{REASONS[reason]}{': ' if more else ''}{more}"))

    def _parts(self, cells: Mapping[str, Any]) -> tuple[Label, Post, str, datetime | None]:
        m = self._mapping
        text = self._plain_text(cells)
        label = self._label(cells.get(m.label))
        post = self._identified(cells, text)
        named_at = m.labelled_at if m.labelled_at else LABELLED_AT
        return label, post, self._who(cells), self._time(cells.get(named_at))

    def _post(self, cells: Mapping[str, Any]) -> Post:
        return self._identified(cells, self._plain_text(cells))

    def _plain_text(self, cells: Mapping[str, Any]) -> str:
        if any(isinstance(value, Formula) for value in cells.values()):
            raise _Refused("formula")
        text = _text(cells.get(self._mapping.text))
        if text is None or not text.strip():
            raise _Refused("no_text")
        if (problem := text_problem(text.strip(), self._longest)) is not None:
            raise _Refused("text", problem)
        return text

    def _identified(self, cells: Mapping[str, Any], text: str) -> Post:
        native_id, platform = self._identity(cells)
        named_at = self._mapping.posted_at
        return tidy(Post(text, platform, native_id, self._time(cells.get(named_at)) if named_at else None))

    def _label(self, value: Any) -> Label:
        word = _text(value)
        if word is None or not word.strip():
            raise _Refused("no_label")
        known = self._meanings.get(word.strip().lower())
        if known is None:
            # What stands there may be a post, when the columns are mixed up: only a number is shown.
            shown = word.strip() if _NUMBER.fullmatch(word.strip()) else f"{len(word.strip())} characters"
            raise _Refused("label", shown)
        return known

    def _who(self, cells: Mapping[str, Any]) -> str:
        own = (
            cells.get(self._mapping.annotator_column)
            if self._mapping.annotator_column
            else cells.get(ANNOTATOR)
        )
        name = (_text(own) or "").strip() or self._annotator or self._mapping.annotator or ""
        if (problem := name_problem(name)) is not None:
            raise _Refused("annotator", f"it {problem}")
        if name.startswith(self._reserved):
            raise _Refused("annotator", "it begins like the name of a corpus or a model")
        return name

    def _identity(self, cells: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """(id, platform), both or neither."""
        m = self._mapping
        if m.native_id is None:
            return None, None
        value = cells.get(m.native_id)
        native_id = (_text(value) or "").strip()
        column = _text(cells.get(m.platform_column)) if m.platform_column else m.platform
        platform = (column or "").strip()
        if not native_id and not (platform and m.platform_column):
            return None, None  # a row without an id, in a file that has some
        if (isinstance(value, int | float) and abs(value) >= _EXACT) or _ROUNDED.fullmatch(native_id):
            raise _Refused("id_rounded")
        for name, what, longest in ((native_id, "id", LONGEST_ID), (platform, "platform", LONGEST_PLATFORM)):
            if (problem := name_problem(name, longest)) is not None:
                raise _Refused("identity", f"the {what} {problem}")
        return native_id, platform

    def _time(self, value: Any) -> datetime | None:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone comes below
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.strip().replace("/", "-"))
            except ValueError:
                raise _Refused("time") from None
        if not isinstance(value, datetime):
            raise _Refused("time")
        if value.tzinfo is None:
            if self._zone is None:
                raise _Refused("no_zone")
            value = value.replace(tzinfo=self._zone)
        try:
            moment = require_utc(value)
        except OverflowError:
            raise _Refused("time") from None
        if moment > self._now:
            raise _Refused("future")
        return moment


def _text(value: Any) -> str | None:
    """A cell as text: whole numbers without a fraction, which is how spreadsheets keep them."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, int | float):
        return str(value) if abs(value) < 10**300 else None
    return None
