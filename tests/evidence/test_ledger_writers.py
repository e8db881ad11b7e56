"""Parallel writers: gapless, no deadlock, a rollback leaves nothing."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from ledger_tools import NOW, add

from tidewatch.core.database import Connection, connect
from tidewatch.evidence.ledger import LedgerBusy, append, head, records, verify

WRITERS = 8
EACH = 40


@pytest.fixture
def conn(warehouse: str) -> Iterator[Connection]:
    with connect(warehouse, application_name="tests") as connection:
        yield connection


def test_eight_writers_that_also_lock_rows_of_their_own_leave_a_gapless_chain_without_deadlock(
    warehouse: str, conn: Connection
) -> None:
    conn.execute("create table rows_of_a_caller (n int primary key, touched int not null default 0)")
    conn.execute("insert into rows_of_a_caller select generate_series(0, 3)")
    conn.commit()
    start = threading.Barrier(WRITERS)

    def write(writer: int) -> int:
        kept = 0
        with connect(warehouse, application_name=f"writer {writer}") as own:
            start.wait(timeout=60)
            for number in range(EACH):
                # The order of the caller's own locks is the caller's affair; the ledger comes last.
                for row in sorted({number % 4, (number + writer) % 4}):
                    own.execute("update rows_of_a_caller set touched = touched + 1 where n = %s", (row,))
                append(own, kind="test.fact", subject=f"writer {writer}", body={"n": number}, now=NOW)
                if number % 5 == 4:
                    own.rollback()
                else:
                    own.commit()
                    kept += 1
        return kept

    with ThreadPoolExecutor(WRITERS) as pool:
        kept = list(pool.map(write, range(WRITERS), timeout=240))

    assert kept == [EACH - EACH // 5] * WRITERS
    report = verify(conn)
    assert (report.ok, report.records) == (True, sum(kept))
    assert [r.seq for r in records(conn)] == list(range(1, sum(kept) + 1))
    for writer in range(WRITERS):
        own = [r.body["n"] for r in records(conn, subject=f"writer {writer}")]
        assert own == [n for n in range(EACH) if n % 5 != 4]  # in the order written, without the rolled back


def test_a_record_exists_when_the_transaction_of_its_caller_commits_and_not_before(
    warehouse: str, conn: Connection
) -> None:
    with connect(warehouse, application_name="other", autocommit=True) as other:
        add(conn, 1)
        assert head(other).seq == 0
        conn.rollback()
        assert verify(other).records == 0
        assert add(other, 2).seq == 1  # no gap, nobody waits
        add(conn, 3)
        conn.commit()
        assert [r.body["n"] for r in records(other)] == [2, 3]


def test_in_autocommit_mode_each_record_is_a_transaction_of_its_own(warehouse: str, conn: Connection) -> None:
    start = threading.Barrier(4)

    def write(writer: int) -> None:
        with connect(warehouse, application_name=f"writer {writer}", autocommit=True) as own:
            start.wait(timeout=60)
            for number in range(25):
                add(own, number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4), timeout=120))
    report = verify(conn)
    assert (report.ok, report.records) == (True, 100)


def test_a_savepoint_that_is_rolled_back_takes_its_record_with_it(conn: Connection) -> None:
    add(conn, 1)
    with pytest.raises(RuntimeError), conn.transaction():
        add(conn, 2)
        raise RuntimeError("the caller changes its mind")
    add(conn, 3)
    assert [(r.seq, r.body["n"]) for r in records(conn)] == [(1, 1), (2, 3)]
    assert verify(conn).ok


def test_a_killed_writer_leaves_neither_a_record_nor_a_lock(warehouse: str, conn: Connection) -> None:
    victim = connect(warehouse, application_name="victim")
    add(victim, 1)
    conn.execute("select pg_terminate_backend(%s, 10000)", (victim.info.backend_pid,))
    assert add(conn, 2).seq == 1
    conn.commit()
    assert verify(conn).records == 1
    victim.close()


def test_a_head_that_is_not_released_is_reported_as_busy_and_can_be_tried_again(
    warehouse: str, conn: Connection
) -> None:
    conn.execute("alter function evidence.lock_head() set lock_timeout = '50ms'")
    conn.commit()
    with connect(warehouse, application_name="holder") as holder:
        add(holder, 1)
        with pytest.raises(LedgerBusy, match="append last") as caught:
            add(conn, 2)
        assert caught.value.retryable
        conn.rollback()
        holder.commit()
    assert add(conn, 2).seq == 2


def test_a_snapshot_older_than_the_last_append_is_reported_as_busy(warehouse: str, conn: Connection) -> None:
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    conn.execute("select 1")
    with connect(warehouse, application_name="other", autocommit=True) as other:
        add(other, 1)
    with pytest.raises(LedgerBusy):
        add(conn, 2)
    conn.rollback()
    assert add(conn, 2).seq == 2


def test_the_wait_for_the_head_does_not_change_the_lock_timeout_of_the_caller(conn: Connection) -> None:
    conn.execute("set local lock_timeout = '7s'")
    add(conn, 1)
    row = conn.execute("select current_setting('lock_timeout') as t").fetchone()
    assert row == {"t": "7s"}


def test_verify_reads_one_snapshot_while_others_append(warehouse: str, conn: Connection) -> None:
    stop = threading.Event()

    def write() -> int:
        done = 0
        with connect(warehouse, application_name="writer", autocommit=True) as own:
            while not stop.is_set() and done < 2000:
                add(own, done)
                done += 1
        return done

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            reports = [verify(conn) for _ in range(10)]
        finally:
            stop.set()
        total = writing.result(timeout=120)
    assert [r.problems for r in reports if not r.ok] == []
    assert verify(conn).records == total
