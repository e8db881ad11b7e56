"""Rows are read straight from libpq: the same rows as psycopg gives, and a connection that stays usable."""

import hashlib
from collections.abc import Iterator

import psycopg
import pytest

from tidewatch.core.database import Connection, connect
from tidewatch.vault.copyrows import RowReader
from tidewatch.vault.rowset import RowSet


@pytest.fixture
def conn(database: str) -> Iterator[Connection]:
    with connect(database, application_name="tests", autocommit=True) as conn:
        yield conn


@pytest.mark.parametrize(
    "select",
    [
        "select from generate_series(1, 3)",
        "select 1 where false",
        "select n, repeat('x', n % 300), null from generate_series(1, 30000) n",
        r"select E'\\.' union all select E'a\nb\tc\rd' union all select ''",
        "select repeat('wide', 3000000) from generate_series(1, 2)",
    ],
    ids=["no-columns", "no-rows", "many", "escapes", "wide"],
)
def test_the_rows_are_those_that_psycopg_reads(conn: Connection, select: str) -> None:
    query = f"copy ({select}) to stdout".encode()
    wanted = RowSet()
    with conn.cursor() as cursor, cursor.copy(query) as copy:
        wanted.add_rows(copy)
    rows, told = RowReader(conn).read(query)
    assert (rows.count, rows.sha256) == (wanted.count, wanted.sha256)
    assert told == rows.count


def test_a_query_longer_than_the_socket_takes_at_once_is_sent_whole(conn: Connection) -> None:
    text = "y" * 8_000_000
    rows, told = RowReader(conn).read(f"copy (select '{text}') to stdout".encode())
    wanted = RowSet()
    wanted.add_digests(hashlib.sha512(f"{text}\n".encode()).digest())
    assert (told, rows.sha256) == (1, wanted.sha256)


def test_the_counter_is_told_how_far_it_is(conn: Connection) -> None:
    told: list[int] = []
    RowReader(conn).read(b"copy (select generate_series(1, 400000)) to stdout", told.append)
    assert told == sorted(told) and 8192 <= told[0] < told[-1] <= 400000


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (b"copy (select 1/0) to stdout", psycopg.errors.DivisionByZero),
        (
            b"copy (select 10000/(20000-n) from generate_series(1, 30000) n) to stdout",
            psycopg.errors.DivisionByZero,
        ),
        (b"copy nothing to stdout", psycopg.errors.UndefinedTable),
        (b"select 1", psycopg.OperationalError),
    ],
    ids=["at-once", "midway", "no-table", "no-copy"],
)
def test_a_query_that_fails_leaves_a_connection_to_work_with(
    conn: Connection, query: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        RowReader(conn).read(query)
    assert conn.execute("select 1 as one").fetchone() == {"one": 1}


def test_an_exception_of_the_caller_ends_the_copy_and_nothing_else(conn: Connection) -> None:
    def weary(count: int) -> None:
        raise KeyboardInterrupt

    with conn.transaction():
        conn.execute("create temporary table kept on commit preserve rows as select 1 as one")
        with pytest.raises(KeyboardInterrupt), conn.transaction():
            RowReader(conn).read(b"copy (select generate_series(1, 100000000)) to stdout", weary)
    assert conn.execute("select one from kept").fetchone() == {"one": 1}


def test_a_lost_server_session_is_an_operational_error(conn: Connection, database: str) -> None:
    def ended(count: int) -> None:
        with connect(database, application_name="tests", autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s)", (conn.info.backend_pid,))

    with pytest.raises(psycopg.OperationalError):
        RowReader(conn).read(b"copy (select generate_series(1, 100000000)) to stdout", ended)
