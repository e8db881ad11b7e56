"""One worker per source, one per finished backup. The lock lives in a session of the database and ends with
it, also by kill -9.
"""

import contextlib
import time
from collections.abc import Iterator

import psycopg

from tidewatch.backup.context import BackupContext
from tidewatch.core.database import Connection, lock_number, try_lock
from tidewatch.core.errors import Busy, TidewatchError
from tidewatch.vault import catalogue
from tidewatch.vault.manifest import RunRef

PATIENCE_SECONDS = 3.0
"""A killed holder's session takes the server a moment to notice."""


def source_lock(ctx: BackupContext, source: str) -> contextlib.AbstractContextManager[Connection]:
    """The warehouse session that holds the lock of `source`, for making a backup of it. Raises Busy."""
    return _lock(ctx, f"tidewatch.backup.{source}", f"Source {source}")


def backup_lock(ctx: BackupContext, backup_id: str) -> contextlib.AbstractContextManager[Connection]:
    """The warehouse session that holds the lock of a committed backup, for healing it and deciding on it.
    Raises Busy.

    Not that of its source: copying an old backup takes long, and must not cost the source today's.
    """
    return _lock(ctx, f"tidewatch.backup.{backup_id}", f"Backup {backup_id}")


def backup_lock_number(backup_id: str) -> int:
    """What `backup_lock` locks, for whoever locks many at once."""
    return lock_number(f"tidewatch.backup.{backup_id}")


def sweep_lock(ctx: BackupContext, region: str) -> contextlib.AbstractContextManager[Connection]:
    """The warehouse session that holds the lock of removing orphans in `region`. Raises Busy."""
    return _lock(ctx, f"tidewatch.orphans.{region}", f"What was left behind in {region}")


def holds_lock(ctx: BackupContext, region: str) -> contextlib.AbstractContextManager[Connection]:
    """The warehouse session that holds the lock of what legal holds protect in `region`. Raises Busy."""
    return _lock(ctx, f"tidewatch.holds.{region}", f"What legal holds protect in {region}")


def other_run_at_work(ctx: BackupContext, source: str, run: RunRef) -> str | None:
    """The attempt of another run than `run` that reads `source` now; for a caller that met Busy.

    None when whoever holds the lock does not do the work of `run`: it is an earlier attempt of the same run
    whose end nobody has seen, or it finishes another backup.
    """
    with ctx.connect() as conn:
        rows = catalogue.list_backups(conn, source=source, statuses=["staging"])
    if any(row.run.run_id == run.run_id for row in rows):
        return None
    return rows[0].backup_id if rows else None


@contextlib.contextmanager
def _lock(ctx: BackupContext, name: str, what: str) -> Iterator[Connection]:
    """All writes of the holder go through this session: had it lost the lock, it would have lost the session
    too, and the write fails instead of meeting another holder's.
    """
    conn = ctx.connect()
    try:
        # The session idles while objects are on their way; a server's limit for idle sessions does not fit.
        if conn.info.server_version >= 140000:
            conn.execute("select set_config('idle_session_timeout', '0', false)")
        until = time.monotonic() + PATIENCE_SECONDS
        while not try_lock(conn, name):
            conn.commit()
            if time.monotonic() > until:
                raise Busy(
                    f"{what} is being worked on by another run",
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


class NotOurTurn(Busy):
    """Work that only this run does has to wait until somebody else lets go."""

    retryable = True
