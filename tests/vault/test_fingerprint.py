"""Fingerprints of real databases on a real server."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from tidewatch.core.database import connect
from tidewatch.core.errors import SourceChanged, SourceError, SourcePermission
from tidewatch.local.postgres import LocalPostgres
from tidewatch.vault.facts import DatabaseFingerprint, TableFingerprint
from tidewatch.vault.fingerprint import fingerprint_database, lock_relations, with_sequences_after

EVERYTHING = (Path(__file__).parent / "everything.sql").read_text(encoding="utf-8")


@contextmanager
def snapshot(dsn: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with connect(dsn, application_name="tests", autocommit=True) as conn:
        conn.execute("begin isolation level repeatable read read only")
        yield conn


def fingerprint(dsn: str) -> DatabaseFingerprint:
    with snapshot(dsn) as conn:
        return fingerprint_database(conn, lock_timeout_seconds=5)


def run(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def table(found: DatabaseFingerprint, label: str) -> TableFingerprint:
    return next(t for t in found.tables if t.label == label)


@pytest.fixture
def everything(database: str) -> str:
    run(database, EVERYTHING)
    return database


@pytest.fixture
def other(pg_server: LocalPostgres) -> Iterator[str]:
    """A second empty database."""
    name = "vault_other"
    run(pg_server.dsn(), f"create database {name} template template0")
    yield pg_server.dsn(name)
    pg_server.drop_database(name)


def dump_and_restore(server: LocalPostgres, source: str, target: str) -> None:
    tool = Path(server.bin_dir)
    dump = subprocess.run(
        [tool / "pg_dump", "-Fc", "-Z0", "-d", source], capture_output=True, check=True, timeout=60
    ).stdout
    restored = subprocess.run(
        [tool / "pg_restore", "-d", target], input=dump, capture_output=True, check=False, timeout=60
    )
    assert restored.returncode == 0, restored.stderr.decode()


def test_a_restored_dump_of_everything_has_the_same_fingerprint(
    everything: str, other: str, pg_server: LocalPostgres
) -> None:
    dump_and_restore(pg_server, everything, other)
    before, after = fingerprint(everything), fingerprint(other)
    assert after.tables == before.tables
    for kind in before.schema_objects:
        assert after.schema_objects[kind].objects == before.schema_objects[kind].objects, kind
    assert after.grants.objects == before.grants.objects
    assert after.model_copy(update={"database": before.database}) == before


@pytest.fixture
def small(database: str) -> str:
    run(
        database,
        "create table posts (id integer primary key, likes numeric, body json, score double precision)",
        """insert into posts values (1, 1.0, '{"a":1}', 0), (2, 2, '{}', 0.1), (3, 3, null, 1e300)""",
        "create table authors (name text)",
        "insert into authors values ('a'), ('a'), ('b')",
    )
    return database


def test_every_place_that_holds_rows_is_there_and_counted(everything: str) -> None:
    found = fingerprint(everything)
    rows = {t.label: (t.kind, t.rows) for t in found.tables}
    assert rows["public.kinds"] == ("table", 3)
    assert rows['Odd "schema" 微博.名字 with "quotes" and 🌊'] == ("table", 3)
    assert rows["public.no_columns"] == ("table", 2)
    assert rows["public.empty_table"] == ("table", 0)
    assert rows["public.unlogged_table"] == ("table", 1)
    assert rows["public.parent"] == ("table", 1), "without the rows of its children"
    assert rows["public.child"] == ("table", 1)
    assert rows["public.guarded"] == ("table", 2), "the owner's policy hides nothing"
    assert rows["public.counted"] == ("matview", 700)
    assert rows["public.not_filled"] == ("matview", 0)
    assert not table(found, "public.not_filled").populated
    partitions = {label: rows for label, (kind, rows) in rows.items() if kind == "partition"}
    assert set(partitions) == {
        *(f"public.events_{p}" for p in ("2025", "2026_0", "2026_1", "rest")),
        "public.by_size_s",
        "public.by_size_null",
    }
    assert sum(partitions.values()) == 703
    assert "public.events" not in rows, "a partitioned table holds no rows of its own"
    assert found.foreign_tables == ["public.remote"], "listed and not read: its server does not exist"
    assert found.rows == sum(t.rows for t in found.tables) - 701
    assert table(found, "public.kinds").columns[:4] == ["a", "b", "bits", "c"]


def test_everything_has_a_column_of_every_type_that_a_column_can_have(everything: str) -> None:
    """But of those that are only the system's, and of xml, which not every build has (libraries.sql)."""
    with psycopg.connect(everything) as conn:
        unused = conn.execute(
            "select t.typname from pg_type t where t.typtype in ('b', 'r') and t.typelem = 0"
            " and t.typnamespace = 'pg_catalog'::regnamespace and not exists ("
            "  select from pg_attribute a join pg_class c on c.oid = a.attrelid"
            "  where c.relkind = 'r' and c.oid >= 16384 and a.atttypid in (t.oid, t.typarray))"
        ).fetchall()
    systems = {"gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "pg_dependencies",
               "pg_mcv_list", "pg_ndistinct", "pg_node_tree", "pg_ddl_command"}  # fmt: skip
    assert {name for (name,) in unused} - systems == {"xml"}


def test_every_sequence_has_its_value(everything: str) -> None:
    values = {s.name: (s.last_value, s.is_called) for s in fingerprint(everything).sequences}
    assert values == {
        "counter": (10, True),
        "kinds_id_seq": (3, True),
        "never_called": (9, False),
        "numbered_by_default_id_seq": (-5, True),
        "set_not_called": (44, False),
        "with_serial_id_seq": (2, True),
    }


def test_large_objects_are_counted_and_every_byte_of_them_counts(database: str) -> None:
    big = "convert_to(repeat('0123456789', 900000), 'UTF8')"  # 9 MB: three pieces
    run(database, f"select lo_from_bytea(7, {big}), lo_from_bytea(8, ''), lo_from_bytea(9, 'x')")
    found = fingerprint(database).large_objects
    assert (found.count, found.size) == (3, 9_000_001)
    run(database, "select lo_put(7, 8999999, 'x')")
    changed = fingerprint(database).large_objects
    assert (changed.count, changed.size) == (3, 9_000_001)
    assert changed.sha256 != found.sha256
    run(database, "select lo_put(7, 8999999, '9')")
    assert fingerprint(database).large_objects == found
    run(database, "select lo_unlink(8)")
    assert fingerprint(database).large_objects.sha256 != found.sha256, "an empty one counts too"


def test_the_order_of_rows_on_disk_does_not_matter(small: str) -> None:
    before = fingerprint(small)
    run(small, "create index i on posts (score desc)", "cluster posts using i", "drop index i")
    run(
        small,
        "update authors set name = 'c' where name = 'b'",
        "update authors set name = 'b' where name = 'c'",
    )
    assert fingerprint(small).tables == before.tables


@pytest.mark.parametrize(
    "change",
    [
        "update posts set likes = 1.00 where id = 1",
        """update posts set body = '{"a": 1}' where id = 1""",
        "update posts set score = '-0' where id = 1",
        "update posts set score = 0.1::float8 + 1e-17 + 2e-17 where id = 2",
        "update posts set body = '\"\"' where id = 3",
        "update posts set id = 4 where id = 3",
        "delete from posts where id = 3",
        "insert into posts values (5)",
    ],
)
def test_one_changed_value_changes_its_table_and_no_other(small: str, change: str) -> None:
    before = fingerprint(small)
    run(small, change)
    after = fingerprint(small)
    assert table(after, "public.posts").sha256 != table(before, "public.posts").sha256
    assert table(after, "public.authors") == table(before, "public.authors")
    assert after.content_sha256 != before.content_sha256
    assert after.schema_sha256 == before.schema_sha256


def test_duplicate_rows_are_counted(small: str) -> None:
    before = fingerprint(small)
    run(small, "delete from authors", "insert into authors values ('a'), ('b'), ('b')")
    assert table(fingerprint(small), "public.authors").sha256 != table(before, "public.authors").sha256


def test_settings_of_the_database_and_the_session_change_nothing(everything: str) -> None:
    before = fingerprint(everything)
    settings = {
        "DateStyle": "'German, DMY'",
        "IntervalStyle": "sql_standard",
        "TimeZone": "'Asia/Shanghai'",
        "extra_float_digits": "-10",
        "bytea_output": "escape",
        "client_encoding": "GB18030",
        "search_path": "public",
        "quote_all_identifiers": "on",
        "lc_monetary": "'C.UTF-8'",
        "statement_timeout": "'5min'",
    }
    with psycopg.connect(everything, autocommit=True) as conn:
        for name, value in settings.items():
            conn.execute(f"alter database {conn.info.dbname} set {name} = {value}".encode())
    with snapshot(everything) as conn:
        row = conn.execute("show intervalstyle").fetchone()
        assert row == {"IntervalStyle": "sql_standard"}, "the settings are in force before"
        assert fingerprint_database(conn) == before


@pytest.mark.parametrize(
    ("change", "kind", "identity"),
    [
        ("alter table posts add column more integer", "column", "public.posts.more"),
        ("alter table posts alter likes set not null", "column", "public.posts.likes"),
        ("alter table posts alter likes set default 3", "column", "public.posts.likes"),
        ("alter table posts add check (id > 0)", "constraint", "public.posts.posts_id_check"),
        ("create index posts_likes on posts (likes)", "index", "public.posts_likes"),
        ("create view v as select 1 as one", "view", "public.v"),
        ("create function f() returns integer language sql as 'select 1'", "function", "public.f()"),
        ("create type mood as enum ('a')", "enum", "public.mood"),
        ("create domain d as text check (value <> '')", "domain", "public.d"),
        ("create sequence s cache 7", "sequence", "public.s"),
        ("comment on table posts is 'x'", "comment", "table public.posts"),
        ("create policy p on posts using (true)", "policy", "public.posts.p"),
        ("alter table posts enable row level security", "table", "public.posts"),
        ("create schema more", "schema", "more"),
        (
            "create trigger t before update on posts for each row execute function"
            " suppress_redundant_updates_trigger()",
            "trigger",
            "public.posts.t",
        ),
    ],
)
def test_a_changed_definition_is_found_by_kind_and_name(
    small: str, change: str, kind: str, identity: str
) -> None:
    before = fingerprint(small)
    run(small, change)
    after = fingerprint(small)
    assert after.schema_sha256 != before.schema_sha256
    one = before.schema_objects[kind].objects if kind in before.schema_objects else {}
    two = after.schema_objects[kind].objects
    assert {i for i in one.keys() | two.keys() if one.get(i) != two.get(i)} == {identity}


@pytest.mark.parametrize(
    ("change", "identity"),
    [
        ("grant select on posts to public", "table public.posts"),
        ("grant select (id) on posts to public", "column public.posts.id"),
        ("revoke usage on schema public from public", "schema public"),
        ("alter default privileges grant select on tables to public", "default privileges postgres r"),
    ],
)
def test_a_changed_grant_is_found_by_name(small: str, change: str, identity: str) -> None:
    before = fingerprint(small)
    run(small, change)
    after = fingerprint(small)
    one, two = before.grants.objects, after.grants.objects
    assert {i for i in one.keys() | two.keys() if one.get(i) != two.get(i)} == {identity}
    assert after.schema_sha256 == before.schema_sha256


def test_a_grant_that_says_what_is_the_default_anyway_changes_nothing(small: str) -> None:
    run(small, "create schema more", "create sequence s", "create type mood as enum ()")
    before = fingerprint(small)
    for thing in ("table posts", "schema more", "sequence s", "type mood"):
        run(small, f"grant all on {thing} to postgres")
    assert fingerprint(small).grants == before.grants


def test_roles_are_there_with_attributes_and_memberships_and_without_passwords(small: str, role: str) -> None:
    before = fingerprint(small).roles
    assert f"role {role}" in before.objects
    run(small, f"alter role {role} password 'another'")
    assert fingerprint(small).roles == before
    run(small, f"alter role {role} connection limit 3")
    limited = fingerprint(small).roles
    assert limited.objects[f"role {role}"] != before.objects[f"role {role}"]
    run(small, f"grant pg_monitor to {role}")
    assert f"member pg_monitor <- {role}" in fingerprint(small).roles.objects


@pytest.fixture
def role(pg_server: LocalPostgres, database: str) -> Iterator[str]:
    """A login role without any rights, named after the test's database."""
    with psycopg.connect(database, autocommit=True) as conn:
        name = f"reader_{conn.info.dbname}"
        conn.execute(f"create role {name} login password 'test'".encode())
        yield name
        conn.execute(f"drop owned by {name}".encode())
    run(pg_server.dsn(), f"drop role {name}")


def as_role(dsn: str, role: str) -> str:
    return psycopg.conninfo.make_conninfo(dsn, user=role, password="test")


def test_everything_that_may_not_be_read_is_named_in_one_error_with_what_to_run(
    small: str, role: str
) -> None:
    run(
        small,
        "create schema hidden",
        'create table hidden."T 1" (a integer)',
        "create sequence counted",
        "create table guarded (a integer)",
        "alter table guarded enable row level security",
        f'grant select on posts, guarded, hidden."T 1" to {role}',
        "select lo_from_bytea(77, 'x')",
    )
    with pytest.raises(SourcePermission) as caught:
        fingerprint(as_role(small, role))
    text = str(caught.value)
    assert "no SELECT on tables public.authors;" in text
    assert "no USAGE on schemas hidden" in text
    assert "no SELECT on sequences public.counted" in text
    assert "row-level security hides rows of public.guarded" in text
    assert "no SELECT on large objects 77" in text
    # and what it says to run is enough
    for statement in caught.value.do.removeprefix("as the owner: ").split("; "):
        run(small, statement)
    assert fingerprint(as_role(small, role)).tables == fingerprint(small).tables


def test_a_role_that_may_read_all_data_needs_no_more(small: str, role: str) -> None:
    run(small, "create sequence s", f"grant pg_read_all_data to {role}", f"alter role {role} bypassrls")
    found, whole = fingerprint(as_role(small, role)), fingerprint(small)
    assert found.content_sha256 == whole.content_sha256
    assert found.schema_sha256 == whole.schema_sha256
    assert found.grants == whole.grants


def test_only_the_snapshot_counts_however_much_is_written_meanwhile(small: str) -> None:
    before = fingerprint(small)
    with snapshot(small) as conn:
        conn.execute("select from posts limit 1")
        run(small, "insert into posts values (9)", "delete from authors", "create table later (a integer)")
        found = fingerprint_database(conn)
    assert found.tables == before.tables


@pytest.mark.parametrize(
    "change",
    [
        "truncate authors",
        "vacuum full authors",
        "drop table authors",
        "alter table authors rename to writers",
        "alter table authors add column more uuid default gen_random_uuid()",
        "alter table authors set schema pg_catalog",
    ],
)
def test_a_table_changed_between_the_snapshot_and_the_locks_is_never_taken_for_empty(
    small: str, change: str
) -> None:
    with snapshot(small) as conn:
        conn.execute("select from posts limit 1")
        if "pg_catalog" in change:
            change = "set allow_system_table_mods = on; " + change
        run(small, change)
        with pytest.raises(SourceChanged, match=r"public\.authors") as caught:
            fingerprint_database(conn)
    assert caught.value.retryable


def test_a_locked_table_is_named_after_the_lock_timeout(small: str) -> None:
    with psycopg.connect(small) as blocker:
        blocker.execute("lock table authors in access exclusive mode")
        with snapshot(small) as conn, pytest.raises(SourceChanged, match=r"table public\.authors is locked"):
            fingerprint_database(conn, lock_timeout_seconds=1)


def test_nothing_can_be_dropped_or_emptied_while_the_transaction_is_open(small: str) -> None:
    with snapshot(small) as conn:
        assert lock_relations(conn) == 2
        for statement in ("drop table authors", "truncate posts", "alter table posts add x integer"):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                run(small, "set lock_timeout = '100ms'", statement)
        run(small, "insert into authors values ('writers are not disturbed')")


def test_a_view_that_took_the_place_of_a_table_is_not_read(small: str) -> None:
    with snapshot(small) as conn:
        conn.execute("select from posts limit 1")
        run(small, "drop table authors", "create view authors as select 'x' as name")
        with pytest.raises(SourceChanged, match=r"public\.authors"):
            fingerprint_database(conn)


def test_sequences_are_read_again_after_the_dump(everything: str) -> None:
    with snapshot(everything) as conn:
        found = fingerprint_database(conn)
        run(everything, "select nextval('counter')")
        after = {s.name: s for s in with_sequences_after(conn, found).sequences}
    counter = after["counter"]
    assert (counter.last_value, counter.last_value_after, counter.is_called_after) == (10, 15, True)
    assert (after["never_called"].last_value_after, after["never_called"].is_called_after) == (9, False)


def test_temporary_tables_and_system_schemas_are_left_out(small: str) -> None:
    with connect(small, application_name="tests", autocommit=True) as conn:
        conn.execute("create temporary table mine (a integer)")
        conn.execute("begin isolation level repeatable read read only")
        assert {t.label for t in fingerprint_database(conn).tables} == {"public.posts", "public.authors"}


BEGINNINGS: list[LiteralString] = [
    "select 1",
    "begin",
    "begin isolation level repeatable read",
    "begin isolation level read committed read only",
]


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_without_one_read_only_snapshot_nothing_is_fingerprinted(database: str, begin: LiteralString) -> None:
    with connect(database, application_name="tests", autocommit=True) as conn:
        conn.execute(begin)
        with pytest.raises(SourceError, match="one snapshot"):
            fingerprint_database(conn)


def test_a_session_that_is_ended_meanwhile_is_a_lost_connection_and_worth_another_try(small: str) -> None:
    with connect(small, application_name="tests", autocommit=True) as conn:
        conn.execute("begin isolation level repeatable read read only")
        run(small, f"select pg_terminate_backend({conn.info.backend_pid})")
        with pytest.raises(SourceError) as caught:
            fingerprint_database(conn)
    assert caught.value.retryable


def test_of_extensions_only_the_users_rows_of_configuration_tables_count(
    small: str, stack_home: Path, request: pytest.FixtureRequest
) -> None:
    """pg_dump leaves the rest to CREATE EXTENSION."""
    home = stack_home / "extension"
    (home / "extension").mkdir(parents=True)
    (home / "extension" / "shop.control").write_text("default_version = '1'\nrelocatable = false\n")
    (home / "extension" / "shop--1.sql").write_text(
        "create table shop_rates (name text, custom boolean);"
        "insert into shop_rates values ('standard', false);"
        "create table shop_internal (a integer);"
        "create function shop_version() returns integer language sql as 'select 1';"
        "select pg_extension_config_dump('shop_rates', 'where custom');"
    )
    for path in (home, home / "extension"):
        path.chmod(0o755)
    before = fingerprint(small)
    run(small, f"set extension_control_path = '{home}'; create extension shop")
    run(small, "insert into shop_rates values ('mine', true)", "insert into shop_internal values (1)")
    after = fingerprint(small)
    assert {t.label for t in after.tables} == {"public.posts", "public.authors", "public.shop_rates"}
    rates = table(after, "public.shop_rates")
    assert (rates.kind, rates.rows) == ("extension_config", 1)
    assert [(e.name, e.version) for e in after.extensions if e.name != "plpgsql"] == [("shop", "1")]
    changed = {
        kind
        for kind in after.schema_objects.keys() | before.schema_objects.keys()
        if after.schema_objects.get(kind) != before.schema_objects.get(kind)
    }
    assert changed == {"extension"}
    assert after.grants == before.grants


def test_progress_ends_with_a_line_of_totals(small: str) -> None:
    lines: list[str] = []
    with snapshot(small) as conn:
        fingerprint_database(conn, progress=lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("fingerprint: 2/2 tables, 6 rows, ")


def test_three_hundred_tables_need_no_more_locks_than_tables(database: str) -> None:
    """Their indexes would double the number; a server's lock table is of fixed size."""
    run(
        database,
        "do $$ begin for i in 1..300 loop execute 'create table t_' || i || ' (id integer primary key)';"
        " end loop; end $$",
    )
    with snapshot(database) as conn:
        fingerprint_database(conn)
        held = conn.execute(
            "select count(*) as n from pg_locks l join pg_class c on c.oid = l.relation"
            " where l.pid = pg_backend_pid() and c.relnamespace = 'public'::regnamespace"
        ).fetchone()
    assert held == {"n": 300}
