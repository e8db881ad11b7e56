"""The database's server dies, or cuts a session, while pg_dump is in the middle of a table: nothing is
committed, the error says what to do, and the next run works."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import psycopg
import pytest
from backup_rig import MIB, Rig, run_sql
from psycopg.conninfo import make_conninfo
from region_proxy import RegionProxy
from restoring import compared

from tidewatch.backup.archive import Archive
from tidewatch.core.errors import SourceError, SourceUnreachable
from tidewatch.local.postgres import LocalPostgres


@pytest.fixture(scope="module")
def own_server(stack_home: Path) -> Iterator[LocalPostgres]:
    """A server that these tests may kill, with a table too large for the buffers of a connection."""
    server = LocalPostgres(stack_home / "pg-mortal", fsync=False)
    server.start()
    server.create_database("mortal")
    run_sql(
        server.dsn("mortal"),
        "create table posts (id bigserial, body text)",
        "insert into posts (body) select repeat(md5(n::text), 32) from generate_series(1, 18000) n",
    )
    yield server
    server.destroy()


@pytest.fixture
def in_the_middle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Calls what it is given once, when the first MiB of the dump has been read."""

    def arrange(fault: Callable[[], object]) -> None:
        real, seen = Archive.read, 0

        def read(self: Archive, size: int, /) -> bytes:
            nonlocal seen
            data = real(self, size)
            seen, before = seen + len(data), seen
            if before < MIB <= seen:
                fault()
            return data

        monkeypatch.setattr(Archive, "read", read)

    return arrange


def nothing_visible(rig: Rig) -> None:
    assert all(rig.manifests(r) == [] for r in rig.regions)
    for region in rig.regions:
        uploads = region.store.client.list_multipart_uploads(Bucket=region.config.bucket)
        assert not uploads.get("Uploads"), f"{region.name} keeps parts of an upload"
    assert rig.kinds()[-1] == "backup.failed"


def backend_of(server: LocalPostgres, program: str) -> int:
    with psycopg.connect(server.dsn()) as conn:
        row = conn.execute(
            "select pid from pg_stat_activity where application_name = %s and state = 'active'", (program,)
        ).fetchone()
    assert row is not None, f"{program} is in the middle of a statement"
    return int(row[0])


def die(server: LocalPostgres) -> None:
    """Postmaster and backends, as in a crash of the machine."""
    assert server.daemon is not None
    postmaster = psutil.Process(server.daemon.pid)
    for process in [postmaster, *postmaster.children(recursive=True)]:
        process.kill()


def shut_down_at_once(server: LocalPostgres) -> None:
    """`pg_ctl stop -m immediate`."""
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGQUIT)


def end_the_backend(server: LocalPostgres) -> None:
    run_sql(server.dsn(), f"select pg_terminate_backend({backend_of(server, 'pg_dump')})")


def crash_the_backend(server: LocalPostgres) -> None:
    """The postmaster then ends everybody and recovers."""
    os.kill(backend_of(server, "pg_dump"), signal.SIGKILL)


def kill_pg_dump(server: LocalPostgres) -> None:
    del server
    [child] = [c for c in psutil.Process().children() if c.name() == "pg_dump"]
    child.kill()


@pytest.mark.parametrize("fault", [die, shut_down_at_once, end_the_backend, crash_the_backend, kill_pg_dump])
def test_a_dump_that_is_ended_in_the_middle_of_a_table_is_no_backup_and_the_next_one_works(
    fault: Callable[[LocalPostgres], None],
    rig: Rig,
    own_server: LocalPostgres,
    in_the_middle: Callable[[Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = rig.postgres_source("ops", own_server.dsn("mortal"))
    in_the_middle(lambda: fault(own_server))
    with pytest.raises(SourceError) as caught:
        rig.back_up(source)
    assert caught.value.retryable, str(caught.value)
    assert "run again" in caught.value.do or "run is repeated" in caught.value.do
    assert own_server.password not in str(caught.value)
    assert ("signal 9" in caught.value.found) == (fault is kill_pg_dump)
    nothing_visible(rig)
    monkeypatch.undo()
    own_server.start()
    assert rig.back_up(source).verdict == "sealed"


def test_a_connection_that_is_cut_in_the_middle_of_a_table_is_no_backup(
    rig: Rig,
    own_server: LocalPostgres,
    in_the_middle: Callable[[Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    own_server.start()
    behind: Any = SimpleNamespace(endpoint_url=f"tcp://127.0.0.1:{own_server.port}")
    with RegionProxy(behind) as proxy:
        dsn = make_conninfo(own_server.dsn("mortal"), port=proxy.port)
        source = rig.postgres_source("ops", dsn)
        in_the_middle(proxy.cut)
        with pytest.raises(SourceUnreachable) as caught:
            rig.back_up(source)
        assert "server" in caught.value.do
        nothing_visible(rig)
        monkeypatch.undo()
        proxy.heal()
        outcome = rig.back_up(source)
    assert compared(rig, own_server, outcome.backup_id, tmp_path).equal


def test_time_limits_of_the_role_do_not_end_a_backup_that_takes_longer(
    rig: Rig,
    own_server: LocalPostgres,
    in_the_middle: Callable[[Callable[[], object]], None],
    tmp_path: Path,
) -> None:
    own_server.start()
    own_server.ensure_role("hurried", "hurried", options="SUPERUSER")
    for name in (
        "statement_timeout",
        "transaction_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "lock_timeout",
    ):
        run_sql(own_server.dsn(), f"alter role hurried set {name} = '1s'")

    def until_the_limits_are_passed() -> None:
        with psycopg.connect(own_server.dsn(), autocommit=True) as conn:
            while True:
                row = conn.execute(
                    "select count(*) from pg_stat_activity where usename = 'hurried' "
                    "and clock_timestamp() - xact_start > interval '1.5 s'"
                ).fetchone()
                if row is not None and row[0] == 2:
                    return
                threading.Event().wait(0.05)

    in_the_middle(until_the_limits_are_passed)
    outcome = rig.back_up(rig.postgres_source("ops", own_server.dsn("mortal", "hurried", "hurried")))
    assert outcome.verdict == "sealed"
    assert compared(rig, own_server, outcome.backup_id, tmp_path).equal


def test_a_role_that_may_not_log_in_any_more_is_told_and_works_again_afterwards(
    rig: Rig, own_server: LocalPostgres
) -> None:
    own_server.start()
    own_server.ensure_role("reader", "a-secret-word", options="CONNECTION LIMIT 0")
    run_sql(own_server.dsn(), "grant pg_read_all_data to reader")
    source = rig.postgres_source("ops", own_server.dsn("mortal", "reader", "a-secret-word"))
    for options, word in {
        "CONNECTION LIMIT 0": "too many connections for role",
        "CONNECTION LIMIT -1 VALID UNTIL '2020-01-01'": "password authentication failed",
        "VALID UNTIL 'infinity' NOLOGIN": "not permitted to log in",
    }.items():
        run_sql(own_server.dsn(), f"alter role reader {options}")
        with pytest.raises(SourceUnreachable, match=word) as caught:
            rig.back_up(source)
        assert "VALID UNTIL" in caught.value.do
        assert "a-secret-word" not in str(caught.value)
        nothing_visible(rig)
    run_sql(own_server.dsn(), "alter role reader login")
    assert rig.back_up(source).verdict == "sealed"


def test_a_table_with_a_damaged_page_is_named_and_the_backup_fails(
    rig: Rig, own_server: LocalPostgres
) -> None:
    own_server.start()
    run_sql(
        own_server.dsn("mortal"),
        "create table damaged (a integer)",
        "insert into damaged select generate_series(1, 1000)",
    )
    with psycopg.connect(own_server.dsn("mortal")) as conn:
        row = conn.execute("select pg_relation_filepath('damaged')").fetchone()
    assert row is not None
    own_server.stop()
    with (own_server.data / row[0]).open("r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"damage" * 100)
    own_server.start()
    source = rig.postgres_source("ops", own_server.dsn("mortal"))
    with pytest.raises(SourceError, match=r"public\.damaged") as caught:
        rig.back_up(source)
    assert "pg_amcheck" in caught.value.do
    nothing_visible(rig)
    run_sql(own_server.dsn("mortal"), "drop table damaged")
    assert rig.back_up(source).verdict == "sealed"
