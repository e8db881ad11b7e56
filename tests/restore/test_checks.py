"""Each check of a restored database goes red for what it is there for, and names it."""

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tidewatch.core.database import connect
from tidewatch.local.postgres import LocalPostgres
from tidewatch.restore.checks import Check, constraints_hold, database_checks, first_problem
from tidewatch.restore.indexes import indexes_are_sound
from tidewatch.restore.scratch import Scratch
from tidewatch.vault.facts import DatabaseFingerprint, ReplayAnswer
from tidewatch.vault.fingerprint import fingerprint_database
from tidewatch.vault.replay import Question, answers

SHOP = """
create role restore_check_reader;
create schema shop;
create domain shop.price as numeric check (value >= 0);
create table shop.customers (id bigint generated always as identity primary key, name text not null unique);
create table shop.orders (
    id bigint primary key, customer bigint not null references shop.customers, total shop.price,
    placed date not null, check (total < 1000)
) ;
create table shop.lines (
    order_id bigint references shop.orders, line int, at date not null, primary key (line, at)
) partition by range (at);
create table shop.lines_2026 partition of shop.lines for values from ('2026-01-01') to ('2027-01-01');
create table shop.base (n int, constraint positive check (n > 0));
create table shop.child () inherits (shop.base);
create table shop.old (n int);
insert into shop.old values (-1);
alter table shop.old add constraint someday check (n > 0) not valid;
create sequence shop.tickets start 100;
insert into shop.customers (name) select 'customer ' || i from generate_series(1, 40) i;
insert into shop.orders select i, 1 + i % 40, i, '2026-01-01'::date + i from generate_series(1, 200) i;
insert into shop.lines select i, i, '2026-02-01' from generate_series(1, 100) i;
insert into shop.base values (1);
insert into shop.child values (2);
select nextval('shop.tickets');
select lo_from_bytea(4711, 'a scanned letter');
grant select on shop.orders to restore_check_reader;
"""
SUMS = Question("sums", "select placed, sum(total) from shop.orders group by placed")
Copy = Callable[[str], str]


@pytest.fixture(scope="module")
def original(pg_server: LocalPostgres) -> Iterator[str]:
    """Name of a database that stands for the source; nobody is connected to it."""
    name = f"t_{secrets.token_hex(6)}"
    pg_server.create_database(name)
    with psycopg.connect(pg_server.dsn(name), autocommit=True) as conn:
        conn.execute(SHOP.encode())
    yield name
    pg_server.drop_database(name)
    with psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
        conn.execute("drop role restore_check_reader")


@pytest.fixture(scope="module")
def backed_up(original: str, pg_server: LocalPostgres) -> tuple[DatabaseFingerprint, list[ReplayAnswer]]:
    with connect(pg_server.dsn(original), application_name="tests", autocommit=True) as conn:
        conn.execute("begin isolation level repeatable read read only")
        return fingerprint_database(conn), answers(conn, [SUMS])


@pytest.fixture
def restored(original: str, pg_server: LocalPostgres) -> Iterator[Copy]:
    """Copies of the original in which a statement was run, as if something had gone wrong."""
    names = []

    def make(wrong: str) -> str:
        names.append(f"t_{secrets.token_hex(6)}")
        with psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
            conn.execute(f"create database {names[-1]} template {original} strategy file_copy".encode())
        with psycopg.connect(pg_server.dsn(names[-1]), autocommit=True) as conn:
            conn.execute(wrong.encode())
        return pg_server.dsn(names[-1])

    yield make
    for name in names:
        pg_server.drop_database(name)


def problems(dsn: str, backed_up: tuple[DatabaseFingerprint, list[ReplayAnswer]]) -> dict[str, Check]:
    with connect(dsn, application_name="tests", autocommit=True) as conn:
        checks, _ = database_checks(conn, *backed_up)
        checks.append(constraints_hold(conn))
    assert len(checks) == 8
    return {c.name: c for c in checks if not c.ok}


WRONG = {
    "a row is gone": (
        "delete from shop.lines_2026 where line = 7",
        "tables",
        "partition shop.lines_2026",
        r"100 rows with digest \w{16}",
        r"99 rows with digest \w{16}",
    ),
    "one value differs": (
        "update shop.orders set total = 5.50 where id = 5",
        "tables",
        "table shop.orders",
        "200 rows with digest",
        "200 rows with digest",
    ),
    "a sequence was set": (
        "select setval('shop.tickets', 90)",
        "sequences",
        "sequence shop.tickets",
        "100",
        "90",
    ),
    "a grant is missing": (
        "revoke select on shop.orders from restore_check_reader",
        "grants",
        "table shop.orders",
        "definition",
        "definition",
    ),
    "a large object has other bytes": (
        "select lo_put(4711, 2, 'X')",
        "large objects",
        "large objects",
        "1 of 16 bytes",
        "1 of 16 bytes",
    ),
    "an index is missing": (
        "alter table shop.customers drop constraint customers_name_key",
        "schema",
        "constraint shop.customers.customers_name_key",
        "definition",
        "none",
    ),
    "a constraint that was not validated is now": (
        "delete from shop.old; alter table shop.old validate constraint someday; "
        "insert into shop.customers (name) values ('x'); delete from shop.customers where name = 'x'",
        "schema",
        "constraint",
        "definition",
        "definition",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_differs_is_found_and_named(
    what: str, restored: Copy, backed_up: tuple[DatabaseFingerprint, list[ReplayAnswer]]
) -> None:
    statement, name, where, expected, found = WRONG[what]
    wrong = problems(restored(statement), backed_up)
    assert name in wrong, wrong
    check = wrong[name]
    assert check.where.startswith(where), check
    assert re.match(expected, check.expected) and re.match(found, check.found), check
    assert check.differences >= 1 and "customer 1" not in str(check)


def test_a_statement_that_answers_otherwise_is_found_even_if_nothing_else_were(
    restored: Copy, backed_up: tuple[DatabaseFingerprint, list[ReplayAnswer]]
) -> None:
    wrong = problems(restored("update shop.orders set total = 5.50 where id = 5"), backed_up)
    assert wrong["replay"].where == "statement sums"
    assert "200 rows" in wrong["replay"].expected


BROKEN = {
    "foreign key": (
        "set session_replication_role = replica; update shop.orders set customer = 9999 where id = 3",
        "shop.orders, constraint orders_customer_fkey",
    ),
    "foreign key of a partition": (
        "set session_replication_role = replica; update shop.lines set order_id = 9999 where line = 3",
        "shop.lines, constraint lines_order_id_fkey",
    ),
    "check": (
        "alter table shop.orders drop constraint orders_total_check; update shop.orders set total = 5000 "
        "where id = 3; alter table shop.orders add constraint orders_total_check check (total < 1000) "
        "not valid; update pg_constraint set convalidated = true where conname = 'orders_total_check'",
        "shop.orders, constraint orders_total_check",
    ),
    "check of an heir": (
        "alter table shop.base drop constraint positive; update shop.child set n = -1; alter table shop.base "
        "add constraint positive check (n > 0) not valid; "
        "update pg_constraint set convalidated = true where conname = 'positive'",
        "shop.base, constraint positive",
    ),
    "domain": (
        "alter domain shop.price drop constraint price_check; update shop.orders set total = -1 where id = 3;"
        "alter domain shop.price add constraint price_check check (value >= 0) not valid; "
        "update pg_constraint set convalidated = true where conname = 'price_check'",
        "shop.price, constraint price_check",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_constraint_that_the_rows_break_is_found_whatever_the_catalogue_says(
    kind: str, restored: Copy
) -> None:
    statement, where = BROKEN[kind]
    with connect(restored(statement), application_name="tests", autocommit=True) as conn:
        check = constraints_hold(conn)
    assert (check.ok, check.where, check.differences) == (False, where, 1)
    assert check.found.endswith("is violated")


def test_a_good_copy_passes_every_check_and_pg_amcheck_finds_a_row_that_an_index_lacks(
    restored: Copy,
    backed_up: tuple[DatabaseFingerprint, list[ReplayAnswer]],
    pg_server: LocalPostgres,
    tmp_path: Path,
) -> None:
    dsn = restored("select 1")
    scratch = Scratch(pg_server, tmp_path, pg_server.bin_dir)
    assert problems(dsn, backed_up) == {}
    assert indexes_are_sound(scratch, dsn, 18).ok
    with psycopg.connect(dsn, autocommit=True) as conn:
        name = "indexrelid = 'shop.customers_name_key'::regclass"
        conn.execute(f"update pg_index set indisready = false where {name}".encode())
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("insert into shop.customers (name) values ('a secret name')")
        conn.execute(f"update pg_index set indisready = true where {name}".encode())
    check = indexes_are_sound(scratch, dsn, 18)
    assert not check.ok and "shop.customers_name_key" in check.where
    assert "lacks matching index tuple" in check.found and "secret" not in str(check)


def test_the_first_problem_is_told_with_the_number_of_others() -> None:
    check = Check("tables", False, "2 rows", "1 row", "table a.b", 3)
    assert str(check) == "tables at table a.b: expected 2 rows, found 1 row (and 2 more)"
    assert first_problem([replace(check, ok=True), check]) is check
