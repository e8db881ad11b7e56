"""One worker per source. The lock lives in a session of the database and ends with it, also by kill -9."""

import contextlib
import time
from collections.abc import Iterator

import psycopg

from tidewatch.backup.context import BackupContext
from tidewatch.core.database import Connection, try_lock
from tidewatch.core.errors import Busy, TidewatchError

PATIENCE_SECONDS = 3.0
"""A killed holder's session takes the server a moment to notice."""


@contextlib.contextmanager
def source_lock(ctx: BackupContext, source: str) -> Iterator[Connection]:
    """The warehouse session that holds the lock of `source`. Raises Busy.

    All writes of the holder go through this session: had it lost the lock, it would have lost the session
    too, and the write fails instead of meeting another holder's.
    """
    conn = ctx.connect()
    try:
        # The session idles while objects are on their way; a server's limit for idle sessions does not fit.
        if conn.info.server_version >= 140000:
            conn.execute("select set_config('idle_session_timeout', '0', false)")
        until = time.monotonic() + PATIENCE_SECONDS
        while not try_lock(conn, f"tidewatch.backup.{source}"):
            conn.commit()
            if time.monotonic() > until:
                raise Busy(
                    f"Source {source} is being worked on by another run",
                    expected="one run at a time",
                    found="its lock is held by another session",
                    do="nothing: the other run does the work; "
                    "run again when it has ended if you need a backup of this very moment",
                )
            time.sleep(0.1)
        conn.commit()
        yield conn
    except psycopg.Error as error:
        raise _warehouse_failed(error) from error
    finally:
        conn.close()


def _warehouse_failed(error: psycopg.Error) -> TidewatchError:
    return WarehouseFailed(
        "The warehouse did not take what the backup had to record",
        expected="a session that lives",
        found=f"{type(error).__name__}: {error.diag.message_primary or 'the session ended'}",
        do="look at the database server; run again: what is finished is not done twice",
    )


class WarehouseFailed(TidewatchError):
    """The database of the catalogue and the ledger failed in the middle of the work."""

    retryable = True
