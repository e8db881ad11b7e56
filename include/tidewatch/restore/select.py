"""Which entries of an archive one table needs: its own, what they rest on, and what rests on it alone."""

from collections.abc import Iterable, Sequence

from tidewatch.core.errors import NotFound
from tidewatch.restore.toc import Entry, Head

_ALWAYS = frozenset({"ENCODING", "STDSTRINGS", "SEARCHPATH"})
_OF_THE_DATABASE = frozenset({"DATABASE", "DATABASE PROPERTIES"})
_TABLES = frozenset({"TABLE", "FOREIGN TABLE", "MATERIALIZED VIEW", "VIEW"})
_BELONGS = frozenset(
    {
        "ACL", "CHECK CONSTRAINT", "COMMENT", "CONSTRAINT", "DEFAULT", "FK CONSTRAINT", "INDEX",
        "INDEX ATTACH", "MATERIALIZED VIEW DATA", "POLICY", "ROW SECURITY", "RULE", "SECURITY LABEL",
        "SEQUENCE", "SEQUENCE OWNED BY", "SEQUENCE SET", "STATISTICS", "STATISTICS DATA", "TABLE DATA",
        "TRIGGER",
    }
)  # fmt: skip
"""What comes with a table when everything it rests on is there."""
_DRAWS = frozenset(
    {"CHECK CONSTRAINT", "CONSTRAINT", "DEFAULT", "INDEX", "POLICY", "RULE", "STATISTICS", "TRIGGER"}
)
"""What comes with a table together with what it rests on: sequences, functions, extensions. A foreign key
does not draw the other table."""


def entries_of(head: Head, tables: Sequence[str] = ()) -> list[Entry]:
    """The entries to restore, in the order of the archive: all but those of the database itself, or with
    `tables` (`schema.name`) what these need. A partitioned table brings its partitions; a foreign key to a
    table that does not come along is left out. Raises NotFound."""
    plain = [e for e in head.entries if e.kind not in _OF_THE_DATABASE and not _of_database(e)]
    if not tables:
        return plain
    chosen: set[int] = set()
    for table in tables:
        found = [e.number for e in plain if e.kind in _TABLES and f"{e.namespace}.{e.tag}" == table]
        if not found:
            raise NotFound(
                f"The backup has no table {table}",
                expected="schema.name, as `tidewatch backup show` lists it",
                found=table,
                do="correct the name; upper and lower case count, quotes are not written",
            )
        chosen.update(found)
    by_number = {e.number: e for e in plain}
    chosen |= _partitions(plain, chosen)
    core = set(chosen)
    needed = _with_needs(chosen, by_number)
    grown = True
    while grown:
        grown = False
        for entry in plain:
            if entry.number in needed or entry.kind not in _BELONGS or not core & set(entry.needs):
                continue
            rest = {n for n in entry.needs if n in by_number} - needed
            if rest and entry.kind not in _DRAWS:
                continue
            core.add(entry.number)
            if entry.kind in _DRAWS:
                # What it draws in belongs to the table if it is a sequence, so that its value comes along.
                core |= {n for n in rest if by_number[n].kind == "SEQUENCE"}
            needed |= _with_needs({entry.number}, by_number)
            grown = True
    schemas = {by_number[n].namespace for n in needed}
    return [
        e
        for e in plain
        if e.number in needed or e.kind in _ALWAYS or (e.kind == "SCHEMA" and e.tag in schemas)
    ]


def _of_database(entry: Entry) -> bool:
    return entry.kind in ("ACL", "COMMENT", "SECURITY LABEL") and entry.tag.startswith("DATABASE ")


def _partitions(entries: Sequence[Entry], chosen: set[int]) -> set[int]:
    """Partitions, at any depth, of the chosen tables, and what attaches them."""
    tables = {(e.namespace, e.tag): e.number for e in entries if e.kind in _TABLES}
    found: set[int] = set()
    grown = True
    while grown:
        grown = False
        for entry in entries:
            if entry.kind != "TABLE ATTACH" or entry.number in found:
                continue
            child = tables.get((entry.namespace, entry.tag))
            if child is not None and (set(entry.needs) - {child}) & (chosen | found):
                found |= {entry.number, child}
                grown = True
    return found


def _with_needs(numbers: Iterable[int], by_number: dict[int, Entry]) -> set[int]:
    """With everything they rest on, at any depth."""
    found: set[int] = set()
    waiting = list(numbers)
    while waiting:
        number = waiting.pop()
        if number in found or number not in by_number:
            continue
        found.add(number)
        waiting += by_number[number].needs
    return found
