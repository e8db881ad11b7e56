"""A PostgreSQL source: one snapshot that the fingerprint and pg_dump both read.

Our session opens a REPEATABLE READ transaction, exports its snapshot and keeps it open. pg_dump adopts the
snapshot while the fingerprint is computed in our session by a thread of its own, so both see the same rows
whatever is written meanwhile.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import psycopg

from tidewatch.core.clock import Clock
from tidewatch.core.database import Connection, connect, describe, execute
from tidewatch.core.errors import SourceEmpty, SourceError, SourceUnreachable, TidewatchError
from tidewatch.core.progress import Progress
from tidewatch.core.settings import Settings
from tidewatch.core.sources import PostgresSource
from tidewatch.vault.facts import DatabaseFingerprint
from tidewatch.vault.fingerprint import fingerprint_database
from tidewatch.vault.pgtools import Child, PgTools, find_tools

OLDEST_SERVER = 13


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot; valid while the transaction of `conn` is open."""

    conn: Connection
    dsn: str
    exported: str
    taken_at: datetime
    server_version: str
    database_bytes: int
    tools: PgTools


@contextlib.contextmanager
def open_snapshot(
    source: PostgresSource, dsn: str, *, settings: Settings, clock: Clock
) -> Iterator[Snapshot]:
    """Connect, check that server and programs fit, export a snapshot.

    `taken_at` is read before the snapshot is taken: nothing committed before it is missing. Raises
    SourceUnreachable, ToolMissing, SourceEmpty, SourceError (server older than 13).
    """
    conn = connect(dsn, application_name=f"tidewatch backup {source.name}", autocommit=True)
    try:
        version = conn.info.server_version  # e.g. 180006
        tools = find_tools(settings.pg_bin_dir, _supported(version, dsn) // 10000)
        # Under a default of SQL_ASCII every text would come as bytes.
        conn.execute("set client_encoding to 'UTF8'")
        _no_timeouts(conn, version)
        taken_at = clock()
        conn.execute("begin isolation level repeatable read read only")
        row = execute(conn, "backup/export_snapshot").fetchone()
        if row is None:
            raise AssertionError("a select without from has one row")
        if not source.allow_empty:
            _require_content(conn, source, dsn)
        yield Snapshot(conn, dsn, row["exported"], taken_at, row["version"], row["bytes"], tools)
    except psycopg.Error as error:
        raise _session_failed(error, dsn) from error
    finally:
        conn.close()


class Fingerprinting:
    """The fingerprint of a snapshot, computed in a thread while the dump runs."""

    def __init__(self, snapshot: Snapshot, source: PostgresSource, progress: Progress) -> None:
        self._snapshot = snapshot
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fingerprint")
        self._future: Future[DatabaseFingerprint] = self._pool.submit(
            fingerprint_database,
            snapshot.conn,
            lock_timeout_seconds=source.lock_timeout_seconds,
            progress=lambda line: progress(f"{source.name}: {line}"),
        )

    def stops(self, child: Child) -> None:
        """End `child` as soon as the fingerprint fails: its work would be thrown away."""
        self._future.add_done_callback(lambda done: child.kill() if done.exception() else None)

    def failure(self) -> TidewatchError | None:
        """Why it failed, when it has; None while it runs or after success."""
        error = self._future.exception() if self._future.done() else None
        if error is None or isinstance(error, TidewatchError):
            return error
        return _session_failed(error, self._snapshot.dsn)

    def result(self) -> DatabaseFingerprint:
        """Wait for it. Raises what the fingerprint raises, a lost session as SourceError."""
        try:
            return self._future.result()
        except psycopg.Error as error:
            raise _session_failed(error, self._snapshot.dsn) from error

    def close(self) -> None:
        """Stop it if it still runs, and wait until the session is no longer used."""
        if not self._future.done():
            with contextlib.suppress(psycopg.Error):
                self._snapshot.conn.cancel_safe(timeout=10)
        self._pool.shutdown(wait=True, cancel_futures=True)


def start_dump(snapshot: Snapshot, *, lock_timeout_seconds: int) -> Child:
    """pg_dump in custom format, uncompressed (the envelope compresses better), from the snapshot."""
    return Child(
        snapshot.tools.path("pg_dump"),
        [
            "--format=custom",
            "--compress=0",
            "--create",  # settings and privileges of the database itself: there for `pg_restore --create`
            f"--snapshot={snapshot.exported}",
            f"--lock-wait-timeout={lock_timeout_seconds * 1000}",
            _encoding(snapshot),
        ],
        snapshot.dsn,
    )


def start_roles(snapshot: Snapshot) -> Child:
    """The cluster's roles and memberships as SQL, without passwords (so any role may read them)."""
    return Child(
        snapshot.tools.path("pg_dumpall"),
        ["--roles-only", "--no-role-passwords", _encoding(snapshot)],
        snapshot.dsn,
    )


def _encoding(snapshot: Snapshot) -> str:
    """The database's own: one forced by `ALTER ROLE ... SET client_encoding` may lack characters."""
    return f"--encoding={snapshot.conn.info.parameter_status('server_encoding')}"


def _supported(version: int, dsn: str) -> int:
    if version // 10000 < OLDEST_SERVER:
        raise SourceError(
            f"The server of {describe(dsn)} is too old",
            expected=f"PostgreSQL {OLDEST_SERVER} or newer",
            found=f"version {version // 10000}.{version % 10000}",
            do="upgrade the server; PostgreSQL no longer maintains it",
        )
    return version


def _no_timeouts(conn: Connection, version: int) -> None:
    """A snapshot is held as long as the dump takes; the server's limits for ordinary sessions do not fit."""
    names = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
    if version >= 140000:
        names.append("idle_session_timeout")
    if version >= 170000:
        names.append("transaction_timeout")
    for name in names:
        conn.execute("select set_config(%s, '0', false)", (name,))


def _require_content(conn: Connection, source: PostgresSource, dsn: str) -> None:
    row = execute(conn, "backup/content").fetchone()
    if row is not None and not row["tables"] and not row["large_objects"]:
        raise SourceEmpty(
            f"The database of source {source.name} is empty",
            expected=f"at least one table in {describe(dsn)}",
            found="no table and no large object",
            do="check that the connection names the right database; if it is meant to be empty, set "
            f"`allow_empty: true` for {source.name} in config/sources.yaml",
        )


def _session_failed(error: BaseException, dsn: str) -> SourceError:
    lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    kind: type[SourceError] = SourceUnreachable if lost else SourceError
    message = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return kind(
        f"The session that holds the snapshot of {describe(dsn)} failed",
        expected="a session that lives until the dump is done",
        found=f"{type(error).__name__}: {message or 'no further word'}",
        do="look into the server's log; nothing was kept; run again",
    )
