"""Connections keep their password to themselves, migrations happen once, locks end with their owner."""

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from tidewatch.core import database as db
from tidewatch.core.errors import ConfigError, NotFound, SourceUnreachable

Files = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Writes migrations `n1=..., n2=...` as 0001_step.sql, 0002_step.sql and gives their directory."""

    def write(**texts: str) -> Path:
        for number, text in texts.items():
            (tmp_path / f"{int(number[1:]):04d}_step.sql").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def migrate(dsn: str, directory: Path) -> list[str]:
    with db.connect(dsn, application_name="test") as conn:
        return db.migrate(conn, directory)


def tables(dsn: str) -> list[str]:
    with db.connect(dsn, application_name="test") as conn:
        rows = conn.execute(
            "select tablename from pg_tables "
            "where schemaname not in ('pg_catalog', 'information_schema') order by 1"
        )
        return [r["tablename"] for r in rows]


# -- connecting --------------------------------------------------------------------------------------------


def test_rows_are_dicts_and_the_session_says_who_it_is(database: str) -> None:
    with db.connect(database, application_name="tidewatch backup ops") as conn:
        row = conn.execute("select current_setting('application_name') as name").fetchone()
    assert row == {"name": "tidewatch backup ops"}


def test_a_refused_password_is_told_without_the_password(database: str) -> None:
    dsn = make_conninfo(database, password="wrong'hunter2 secret")
    with pytest.raises(SourceUnreachable) as caught:
        db.connect(dsn, application_name="test")
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown
    assert "authentication failed" in caught.value.found
    assert db.describe(database) in caught.value.what


def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    with pytest.raises(SourceUnreachable, match=r"the database backup@127\.0\.0\.1:1/ops") as caught:
        db.connect("host=127.0.0.1 port=1 user=backup dbname=ops password=hunter2", application_name="test")
    assert caught.value.retryable
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:p%zzhunter2@127.0.0.1/db",
        "postgresql://u:1234/hunter2@127.0.0.1/db",
        "postgresql://u:hun/ter2@127.0.0.1:1/db",
        "host=127.0.0.1 password=a hunter2",
        "postgresql://u:a@hunter2@127.0.0.1:1/db?x=hunter2",
        "hunter2",
    ],
)
def test_a_connection_string_that_cannot_be_read_is_not_shown(dsn: str) -> None:
    with pytest.raises((ConfigError, SourceUnreachable)) as caught:
        db.connect(dsn, application_name="test")
    shown = "".join(traceback.format_exception(caught.value))
    for part in ("hunter2", "ter2@", "hun/"):
        assert part not in shown.replace(dsn, "")
        assert part not in db.describe(dsn)


def test_the_waiting_time_of_the_connection_string_is_kept(database: str) -> None:
    with db.connect(make_conninfo(database, connect_timeout=7), application_name="test") as conn:
        assert conn.info.get_parameters()["connect_timeout"] == "7"
    silent = {k: str(v) for k, v in conninfo_to_dict(database).items() if k != "connect_timeout"}
    with db.connect(make_conninfo("", **silent), application_name="test") as conn:
        assert conn.info.get_parameters()["connect_timeout"] == "15"


# -- statements --------------------------------------------------------------------------------------------


def test_a_statement_is_a_file_under_sql(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: str
) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room/add.sql").write_text("select %(a)s::int + %(b)s::int as sum", encoding="utf-8")
    with pytest.raises(NotFound, match="no statement room/add"):
        db.statement("room/add")
    monkeypatch.setenv("TIDEWATCH_SQL_DIR", str(tmp_path))
    with db.connect(database, application_name="test") as conn:
        assert db.execute(conn, "room/add", {"a": 1, "b": 2}).fetchone() == {"sum": 3}


# -- migrations --------------------------------------------------------------------------------------------


def test_each_migration_is_applied_once_and_in_order(database: str, files: Files) -> None:
    directory = files(n2="create table second (like first)", n1="create table first (a int)")
    assert migrate(database, directory) == ["0001_step.sql", "0002_step.sql"]
    assert migrate(database, directory) == []
    assert migrate(database, files(n3="create table third (like second); select 1")) == ["0003_step.sql"]
    assert tables(database) == ["first", "second", "third", "tidewatch_migrations"]


def test_parallel_callers_apply_each_migration_once(database: str, files: Files) -> None:
    directory = files(
        n1="create table first (a int); select pg_sleep(0.2)", n2="insert into first values (1)"
    )
    start = threading.Barrier(4)

    def run(_: int) -> list[str]:
        start.wait()
        return migrate(database, directory)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(run, range(4)))
    assert sorted(map(len, done)) == [0, 0, 0, 2]
    with db.connect(database, application_name="test") as conn:
        assert conn.execute("select count(*) as n from first").fetchone() == {"n": 1}


def test_a_migration_that_fails_leaves_nothing_of_any(database: str, files: Files) -> None:
    directory = files(n1="create table first (a int)", n2="create table second (a int); select 1/0")
    with pytest.raises(ConfigError, match=r"migration 0002_step.sql failed.*division by zero \(22012\)"):
        migrate(database, directory)
    assert tables(database) == []
    files(n2="create table second (a int)")
    assert migrate(database, directory) == ["0001_step.sql", "0002_step.sql"]


def test_a_changed_migration_is_refused_and_the_new_one_is_not_applied(database: str, files: Files) -> None:
    migrate(database, files(n1="create table first (a int)"))
    directory = files(n1="create table first (a bigint)", n2="create table second (a int)")
    with pytest.raises(ConfigError, match=r"0001_step.sql was changed.*a new migration"):
        migrate(database, directory)
    assert "second" not in tables(database)


def test_line_ends_of_another_system_are_no_change(database: str, files: Files) -> None:
    directory = files(n1="create table first (\n  a int\n)")
    migrate(database, directory)
    (directory / "0001_step.sql").write_bytes(b"create table first (\r\n  a int\r\n)")
    assert migrate(database, directory) == []


def test_a_database_that_is_newer_than_the_checkout_is_refused(database: str, files: Files) -> None:
    directory = files(n1="select 1", n2="select 2")
    migrate(database, directory)
    (directory / "0002_step.sql").unlink()
    with pytest.raises(
        ConfigError, match=r"0002_step.sql, which this checkout does not know.*update the checkout"
    ):
        migrate(database, directory)


@pytest.mark.parametrize("name", ["2_more.sql", "0002-more.sql", "0002_More.sql", "0001_again.sql"])
def test_a_file_that_would_be_passed_over_is_refused(database: str, files: Files, name: str) -> None:
    directory = files(n1="select 1")
    (directory / name).write_text("select 2", encoding="utf-8")
    with pytest.raises(ConfigError, match=name):
        migrate(database, directory)


def test_a_directory_without_migrations_is_refused(database: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \.sql file.*TIDEWATCH_SQL_DIR"):
        migrate(database, tmp_path / "nothing")


# -- locks -------------------------------------------------------------------------------------------------

HOLDER = """
import sys
from tidewatch.core import database as db
conn = db.connect(sys.argv[1], application_name="holder")
print("held" if db.try_lock(conn, "backup/ops") else "not held", flush=True)
sys.stdin.read()
"""


def status(conn: db.Connection) -> TransactionStatus:
    return conn.info.transaction_status


def test_a_lock_is_held_once_and_released(database: str) -> None:
    with (
        db.connect(database, application_name="a") as first,
        db.connect(database, application_name="b") as second,
    ):
        assert db.try_lock(first, "backup/ops")
        assert not db.try_lock(second, "backup/ops")
        assert db.try_lock(second, "backup/media")
        db.unlock(first, "backup/ops")
        assert db.try_lock(second, "backup/ops")


def test_a_lock_outlives_the_transactions_of_its_session_and_leaves_none_open(database: str) -> None:
    with (
        db.connect(database, application_name="a") as first,
        db.connect(database, application_name="b") as second,
    ):
        assert db.try_lock(first, "backup/ops")
        assert status(first) == TransactionStatus.IDLE
        first.execute("select 1")
        assert db.try_lock(first, "other")
        assert status(first) == TransactionStatus.INTRANS, "the caller's transaction is its own"
        first.rollback()
        assert not db.try_lock(second, "backup/ops")


def test_a_lock_ends_when_its_holder_is_killed(database: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(db.__file__).parents[2])},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with db.connect(database, application_name="waiter", autocommit=True) as conn:
        assert not db.try_lock(conn, "backup/ops")
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        # The server notices at its own speed; waiting for the lock itself is exact.
        conn.execute("set lock_timeout = '20s'")
        conn.execute("select pg_advisory_lock(%s)", (db.lock_number("backup/ops"),))


def test_the_number_of_a_lock_never_changes() -> None:
    # Two versions that run at once must mean the same lock.
    assert db.lock_number("backup/ops") == 4885405812305295367
    assert -(2**63) <= db.lock_number("x") < 2**63
