"""What two fingerprints of one database differ in, in words fit for a report.

`expected` is the fingerprint of the backup, `found` that of the database restored from it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tidewatch.vault.facts import (
    DatabaseFingerprint,
    LargeObjects,
    ObjectDigests,
    SequenceFingerprint,
    TableFingerprint,
)

Area = Literal["content", "definitions", "grants", "roles", "remark"]


@dataclass(frozen=True)
class Difference:
    """One thing that is not as in the backup. A `remark` is none: it says what a restore may change."""

    area: Area
    kind: str
    """`table`, `sequence`, `large objects`, `view`, `role`, ..."""
    name: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip() + f": expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Comparison:
    """Everything that differs, and what was compared: `tables`, `sequences`, `definitions` are counts."""

    differences: tuple[Difference, ...]
    remarks: tuple[Difference, ...]
    tables: int
    sequences: int
    definitions: int

    @property
    def equal(self) -> bool:
        """Nothing differs."""
        return not self.differences

    @property
    def same_content(self) -> bool:
        """Rows, sequences and large objects are those of the backup."""
        return not self.of("content")

    def of(self, area: Area) -> tuple[Difference, ...]:
        """The differences of one area."""
        return tuple(d for d in self.differences if d.area == area)

    def sentence(self, at_most: int = 20) -> str:
        """One line for a log or a report; of many differences the first `at_most` are named."""
        if self.equal:
            return (
                f"equal: {self.tables} tables, {self.sequences} sequences and {self.definitions} definitions "
                "are as in the backup"
            )
        shown = "; ".join(map(str, self.differences[:at_most]))
        more = len(self.differences) - at_most
        return f"{len(self.differences)} differences: {shown}" + (f"; and {more} more" if more > 0 else "")


def compare(expected: DatabaseFingerprint, found: DatabaseFingerprint) -> Comparison:
    """Compare what was restored with what was backed up.

    The rows of a materialized view are made anew by a restore: that they differ is a remark. Between servers
    of different major versions the wording of definitions, the roles' attributes and the versions of
    extensions differ by nature: there only their names are compared. Roles that only the restored server has
    are its own affair.
    """
    same_major = expected.server_version_num // 10000 == found.server_version_num // 10000
    all_tables = list(_tables(expected, found))
    differences = [
        *(d for d in all_tables if d.area != "remark"),
        *_sequences(expected.sequences, found.sequences),
        *_large_objects(expected.large_objects, found.large_objects),
        *_definitions(expected, found, wording=same_major),
        *_objects("grants", "", expected.grants, found.grants, wording=True),
        *_objects("roles", "", expected.roles, found.roles, wording=same_major, extra=False),
    ]
    return Comparison(
        differences=tuple(differences),
        remarks=tuple(d for d in all_tables if d.area == "remark"),
        tables=len(expected.tables),
        sequences=len(expected.sequences),
        definitions=sum(len(kind.objects) for kind in expected.schema_objects.values()),
    )


# -- content -----------------------------------------------------------------------------------------------


def _tables(expected: DatabaseFingerprint, found: DatabaseFingerprint) -> Iterator[Difference]:
    ours = {(t.schema_name, t.name): t for t in expected.tables}
    theirs = {(t.schema_name, t.name): t for t in found.tables}
    for key in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(key), theirs.get(key)
        if here is not None and there is not None:
            yield from _table(here, there)
        elif here is not None:
            yield Difference("content", _kind(here), here.label, _rows(here), "no such table")
        elif there is not None:
            yield Difference("content", _kind(there), there.label, "no such table", _rows(there))


def _table(expected: TableFingerprint, found: TableFingerprint) -> Iterator[Difference]:
    kind, name = _kind(expected), expected.label
    if expected.kind != found.kind:
        yield Difference("content", kind, name, f"a {kind}", f"a {_kind(found)}")
    if expected.columns != found.columns:
        missing = [c for c in expected.columns if c not in found.columns]
        extra = [c for c in found.columns if c not in expected.columns]
        yield Difference(
            "content",
            kind,
            name,
            f"{len(expected.columns)} columns",
            f"{len(found.columns)}" + _listed(", without ", missing) + _listed(", with ", extra),
        )
    if expected.populated != found.populated:
        yield Difference("content", kind, name, _filled(expected), _filled(found))
    elif (expected.rows, expected.sha256) != (found.rows, found.sha256):
        area: Area = "remark" if expected.kind == "matview" else "content"
        yield Difference(area, kind, name, _rows(expected), _rows(found))


def _kind(table: TableFingerprint) -> str:
    return {"matview": "materialized view", "extension_config": "extension's table"}.get(
        table.kind, table.kind
    )


def _rows(table: TableFingerprint) -> str:
    return f"{table.rows} rows with digest {table.sha256[:16]}"


def _filled(table: TableFingerprint) -> str:
    return "filled" if table.populated else "not filled"


def _listed(word: str, names: list[str]) -> str:
    return word + ", ".join(names) if names else ""


def _sequences(
    expected: Iterable[SequenceFingerprint], found: Iterable[SequenceFingerprint]
) -> Iterator[Difference]:
    ours = {(s.schema_name, s.name): s for s in expected}
    theirs = {(s.schema_name, s.name): s for s in found}
    for key in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(key), theirs.get(key)
        if here is None and there is not None:
            yield Difference("content", "sequence", there.label, "no such sequence", _value(there))
        elif here is not None and there is None:
            yield Difference("content", "sequence", here.label, _span(here), "no such sequence")
        elif here is not None and there is not None and not _within(here, there):
            yield Difference("content", "sequence", here.label, _span(here), _value(there))


def _within(expected: SequenceFingerprint, found: SequenceFingerprint) -> bool:
    """Between the values before and after the dump, whichever way the sequence counts."""
    before = (expected.last_value, expected.is_called)
    if expected.last_value_after is None or expected.is_called_after is None:
        after = before
    else:
        after = (expected.last_value_after, expected.is_called_after)
    value = (found.last_value, found.is_called)
    if before[0] == after[0]:
        return value in (before, after)
    first, last = sorted((before[0], after[0]))
    return value in (before, after) or first < value[0] < last


def _value(sequence: SequenceFingerprint) -> str:
    return f"{sequence.last_value}" + ("" if sequence.is_called else " (not used yet)")


def _span(sequence: SequenceFingerprint) -> str:
    after = sequence.last_value_after
    if after is None or after == sequence.last_value:
        return _value(sequence)
    return f"{_value(sequence)} to {after}"


def _large_objects(expected: LargeObjects, found: LargeObjects) -> Iterator[Difference]:
    if expected != found:
        yield Difference("content", "large objects", "", _sizes(expected), _sizes(found))


def _sizes(objects: LargeObjects) -> str:
    return f"{objects.count} of {objects.size} bytes with digest {objects.sha256[:16]}"


# -- definitions, grants, roles ----------------------------------------------------------------------------


def _definitions(
    expected: DatabaseFingerprint, found: DatabaseFingerprint, *, wording: bool
) -> Iterator[Difference]:
    if expected.encoding != found.encoding:
        yield Difference("definitions", "encoding", "of the database", expected.encoding, found.encoding)
    if wording and expected.collation != found.collation:
        yield Difference("definitions", "collation", "of the database", expected.collation, found.collation)
    yield from _named("foreign table", expected.foreign_tables, found.foreign_tables)
    here = {e.name: f"version {e.version} in schema {e.schema_name}" for e in expected.extensions}
    there = {e.name: f"version {e.version} in schema {e.schema_name}" for e in found.extensions}
    yield from _maps("definitions", "extension", here, there, wording=wording)
    nothing = ObjectDigests(sha256="0" * 64, objects={})
    for kind in sorted((expected.schema_objects.keys() | found.schema_objects.keys()) - {"extension"}):
        ours, theirs = expected.schema_objects.get(kind, nothing), found.schema_objects.get(kind, nothing)
        yield from _objects("definitions", kind, ours, theirs, wording=wording)


def _named(kind: str, expected: Iterable[str], found: Iterable[str]) -> Iterator[Difference]:
    yield from _maps(
        "definitions", kind, dict.fromkeys(expected, "there"), dict.fromkeys(found, "there"), wording=True
    )


def _objects(
    area: Area,
    kind: str,
    expected: ObjectDigests,
    found: ObjectDigests,
    *,
    wording: bool,
    extra: bool = True,
) -> Iterator[Difference]:
    ours = {name: f"definition {sha256[:16]}" for name, sha256 in expected.objects.items()}
    theirs = {name: f"definition {sha256[:16]}" for name, sha256 in found.objects.items()}
    yield from _maps(area, kind, ours, theirs, wording=wording, extra=extra)


def _maps(
    area: Area,
    kind: str,
    expected: Mapping[str, str],
    found: Mapping[str, str],
    *,
    wording: bool,
    extra: bool = True,
) -> Iterator[Difference]:
    """With an empty `kind` the names begin with it, as in `table public.posts`."""
    for name in sorted(expected.keys() | found.keys() if extra else expected.keys()):
        here, there = expected.get(name), found.get(name)
        if here is None or there is None or (wording and here != there):
            first, _, rest = name.partition(" ")
            said = (kind, name) if kind else (first, rest)
            yield Difference(area, *said, here or "none", there or "none")
