"""Reads the rows of a COPY into a `RowSet` with as few steps a row as Python allows.

psycopg's own `Copy` runs a generator for every row, which costs more than hashing it. Here libpq is asked for
row after row until its buffer is empty, and only then waited for. And whoever reads faster than the server
writes is woken for every few rows, at a cost to both sides: a short nap lets them gather.
"""

import contextlib
import hashlib
import select
import time
from collections.abc import Callable
from functools import partial

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from tidewatch.core.database import Connection
from tidewatch.vault.rowset import BATCH, RowSet

OnBatch = Callable[[int], None] | None
_NOTHING_YET = (0, b"")
_CANCEL_SECONDS = 10
_BUFFER = 1 << 20
_FEW = 300
_NAP_SECONDS = 0.0005
"""Half a millisecond in which a server writes a hundred kilobytes or so, less than a socket holds."""


class RowReader:
    """Reads the rows of one query after the other over `conn`."""

    def __init__(self, conn: Connection) -> None:
        """Raises psycopg.Error."""
        self.conn = conn
        # libpq's buffer grows to what it must hold, from 16 KiB, and stays so: then it empties the socket at
        # one go.
        conn.execute("select repeat('x', %s)", (_BUFFER,)).fetchall()

    def read(self, query: bytes, on_batch: OnBatch = None) -> tuple[RowSet, int]:
        """The rows of `query` (COPY ... TO STDOUT in text format), and their number as the server counts.

        `on_batch` is told the count so far about every 8192 rows. Only digests are kept, never rows: memory
        grows with the longest row, not with their number. Raises psycopg.Error; after any exception the
        connection is out of the COPY, or lost.
        """
        with self.conn.lock:
            pgconn = self.conn.pgconn
            try:
                pgconn.send_query(query)
                _expect(_result(pgconn), ExecStatus.COPY_OUT)
                rows = _rows(pgconn, on_batch)
                ended = _expect(_result(pgconn), ExecStatus.COMMAND_OK)
                _drain(pgconn)
            except BaseException:
                with contextlib.suppress(psycopg.Error):  # the first error is the one to tell
                    _leave(self.conn)
                raise
        return rows, ended.command_tuples or 0


def _rows(pgconn: PGconn, on_batch: OnBatch) -> RowSet:
    rows = RowSet()
    digests: list[bytes] = []
    sha512, keep = hashlib.sha512, digests.append
    next_row = partial(pgconn.get_copy_data, 1)
    readable = _poll(pgconn, select.POLLIN)
    before = 0
    while True:
        for size, row in iter(next_row, _NOTHING_YET):
            if size < 0:  # the end; whether a good one, the result tells
                rows.add_digests(b"".join(digests))
                return rows
            keep(sha512(row).digest())
        count = rows.count + len(digests)
        if len(digests) >= BATCH:
            rows.add_digests(b"".join(digests))
            digests.clear()
            if on_batch is not None:
                on_batch(count)
        if count == before:
            # Only now: what TLS has decrypted already makes no socket readable.
            readable()
        elif count - before < _FEW <= count:  # small tables come at one go and need no rest
            time.sleep(_NAP_SECONDS)
        before = count
        pgconn.consume_input()


def _poll(pgconn: PGconn, events: int) -> Callable[[], object]:
    poll = select.poll()
    poll.register(pgconn.socket, events)
    return poll.poll


def _result(pgconn: PGconn) -> PGresult | None:
    """The next result of the command, None after the last one."""
    if pgconn.flush():
        ready = _poll(pgconn, select.POLLIN | select.POLLOUT)
        while pgconn.flush():
            ready()
            pgconn.consume_input()
    readable = _poll(pgconn, select.POLLIN)
    while pgconn.is_busy():
        readable()
        pgconn.consume_input()
    return pgconn.get_result()


def _expect(result: PGresult | None, status: ExecStatus) -> PGresult:
    if result is None or result.status != status:
        if result is not None and result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
        raise psycopg.OperationalError("the server did not answer COPY as the protocol says")
    return result


def _drain(pgconn: PGconn) -> None:
    """Take what is left of the command, so that the next one can be sent."""
    while (result := _result(pgconn)) is not None:
        if result.status == ExecStatus.COPY_OUT:
            readable = _poll(pgconn, select.POLLIN)
            while (size := pgconn.get_copy_data(1)[0]) >= 0:
                if size == 0:
                    readable()
                    pgconn.consume_input()


def _leave(conn: Connection) -> None:
    if conn.pgconn.transaction_status != TransactionStatus.ACTIVE:
        return
    conn.cancel_safe(timeout=_CANCEL_SECONDS)
    _drain(conn.pgconn)
