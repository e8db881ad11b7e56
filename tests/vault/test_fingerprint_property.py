"""Two tables have equal fingerprints if and only if they hold the same rows, as often, in any order."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from tidewatch.core.database import connect
from tidewatch.local.postgres import LocalPostgres
from tidewatch.vault.compare import compare
from tidewatch.vault.facts import DatabaseFingerprint, TableFingerprint
from tidewatch.vault.fingerprint import fingerprint_database

Value = str | None
Row = tuple[Value, ...]

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6)
TRICKY = st.sampled_from(
    ["", "\\N", "\\", "\t", "\n", "\\.", "\r\n", "NULL", "a\tb", "\\x", "\x7f", "\u00e9", "e\u0301"]
)
# Each value has one spelling here: two texts of a type are two values.
TYPES: dict[str, st.SearchStrategy[str]] = {
    "text": TEXT | TRICKY,
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str) | st.sampled_from(["0", "1", "-1"]),
    "boolean": st.sampled_from(["t", "f"]),
    "bytea": st.binary(max_size=5).map(lambda b: "\\x" + b.hex()),
    "numeric": st.decimals(-1000, 1000, places=2).map(lambda d: str(d + 0))
    | st.sampled_from(["NaN", "1", "1.0", "1.00", "0"]),
    "double precision": st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "0", "-0", "5e-324", "0.1", "1e+300"]
    ),
    "json": st.dictionaries(TEXT, st.integers() | st.none(), max_size=2).map(json.dumps)
    | st.sampled_from(['{"a":1}', '{"a": 1}', "null", '""']),
    "timestamp": st.sampled_from(["infinity", "-infinity", "2026-02-28 00:00:00", "0044-03-15 12:00:00 BC"]),
    "text[]": st.sampled_from(["{}", "{NULL}", '{"NULL"}', '{""}', "{a,b}", '{"a,b"}', "{{a},{b}}"]),
}


class Content(NamedTuple):
    """A table: the types of its columns, and its rows."""

    types: list[str]
    rows: list[Row]


@st.composite
def tables(draw: st.DrawFn) -> Content:
    types = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4))
    row = st.tuples(*(st.none() | TYPES[t] for t in types))
    rows = draw(st.lists(row, max_size=5))
    if rows and draw(st.booleans()):
        rows += draw(st.lists(st.sampled_from(rows), max_size=3))  # no key: rows may be there twice
    return Content(types, rows)


def changes(content: Content, choose: random.Random) -> Iterator[list[Row]]:
    """Other contents of the same columns, most of which differ."""
    types, rows = content
    for _ in range(2):
        yield choose.sample(rows, len(rows))
    yield [*rows, choose.choice(rows)] if rows else [tuple(None for _ in types)]
    if not rows:
        return
    at = choose.randrange(len(rows))
    rest = rows[:at] + rows[at + 1 :]
    yield rest
    column = choose.randrange(len(types))
    for value in (None, "x" if types[column] == "text" else None, choose.choice(rows)[column]):
        yield [*rest, (*rows[at][:column], value, *rows[at][column + 1 :])]
    other = choose.randrange(len(rows))
    # The values of one column change places between two rows: the same values, other rows.
    swapped = [list(row) for row in rows]
    swapped[at][column], swapped[other][column] = swapped[other][column], swapped[at][column]
    yield [tuple(row) for row in swapped]
    # And those of two columns of one type within a row.
    twin = next((i for i, t in enumerate(types) if t == types[column] and i != column), None)
    if twin is not None:
        row = list(rows[at])
        row[column], row[twin] = row[twin], row[column]
        yield [*rest, tuple(row)]
    yield [*rest, choose.choice(rows)]


@pytest.fixture(scope="module")
def workbench(pg_server: LocalPostgres) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    pg_server.create_database("fingerprint_property")
    with connect(pg_server.dsn("fingerprint_property"), application_name="tests", autocommit=True) as conn:
        yield conn
    pg_server.drop_database("fingerprint_property")


def fill(conn: psycopg.Connection[dict[str, Any]], name: str, types: list[str], rows: list[Row]) -> None:
    columns = sql.SQL(", ").join(
        sql.SQL("c{} {}").format(sql.SQL(str(i)), sql.SQL(t)) for i, t in enumerate(types)
    )
    conn.execute(sql.SQL("create table {} ({})").format(sql.Identifier(name), columns))
    if rows:
        values = ", ".join("(" + ", ".join(f"%s::{t}" for t in types) + ")" for _ in rows)
        conn.execute(f"insert into {name} values {values}".encode(), [v for row in rows for v in row])


def fingerprint(conn: psycopg.Connection[dict[str, Any]]) -> DatabaseFingerprint:
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read read only")
        return fingerprint_database(conn)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=tables(), choose=st.randoms(use_true_random=False))
def test_a_fingerprint_is_equal_if_and_only_if_the_content_is(
    workbench: psycopg.Connection[dict[str, Any]], content: Content, choose: random.Random
) -> None:
    versions = [content.rows, *changes(content, choose)]
    with workbench.transaction():
        workbench.execute("drop schema public cascade; create schema public")
        for number, rows in enumerate(versions):
            fill(workbench, f"t{number:02}", content.types, rows)
    found = fingerprint(workbench)
    first, *others = found.tables
    assert first.rows == len(content.rows)
    for table, rows in zip(others, versions[1:], strict=True):
        same = Counter(rows) == Counter(content.rows)
        assert (table.sha256 == first.sha256) == same, rows
        named = found.model_copy(update={"tables": [as_if(table, first)]})
        assert compare(found.model_copy(update={"tables": [first]}), named).equal == same


def as_if(table: TableFingerprint, other: TableFingerprint) -> TableFingerprint:
    return table.model_copy(update={"name": other.name})
