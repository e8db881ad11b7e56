"""The session a fingerprint is taken in: pinned settings, and PostgreSQL's errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tidewatch.core.database import Connection
from tidewatch.core.errors import SourceChanged, SourceError, SourcePermission, SourceUnreachable

# Everything that changes how a value or a definition is written. Set for the transaction only.
PINNED = {
    "client_encoding": "UTF8",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    # A policy that would hide rows must be an error, not a smaller table.
    "row_security": "off",
    # From 17 on (and in minor releases before): a table that became a view meanwhile is not expanded.
    "restrict_nonsystem_relation_kind": "view,foreign-table",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    # Compiling costs more than it saves on COPY of plain columns.
    "jit": "off",
}


def pin(conn: Connection, *, lock_timeout_seconds: int) -> None:
    """Pin the settings for the current transaction, which must be REPEATABLE READ (or SERIALIZABLE) and
    READ ONLY. Raises SourceError."""
    settings = {**PINNED, "lock_timeout": f"{lock_timeout_seconds}s"}
    # By itself, since client_encoding has no row in the view of some poolers, and first, since under
    # SQL_ASCII every text would come as bytes.
    _set_client_encoding(conn, settings.pop("client_encoding"))
    row = conn.execute(
        "select current_setting('transaction_isolation') as isolation,"
        " current_setting('transaction_read_only') as read_only"
    ).fetchone()
    if (
        row is None
        or row["isolation"] not in ("repeatable read", "serializable")
        or row["read_only"] != "on"
        or conn.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS
    ):
        raise SourceError(
            "A fingerprint needs one snapshot for all its queries",
            expected="a transaction begun with ISOLATION LEVEL REPEATABLE READ READ ONLY",
            found="no such transaction"
            if row is None
            else f"{row['isolation']}, read_only {row['read_only']}",
            do="report a defect of Tidewatch",
        )
    # A setting that this server does not know has nothing to pin.
    conn.execute(
        "select set_config(s.name, w.value, true) from unnest(%s::text[], %s::text[]) w (name, value)"
        " join pg_catalog.pg_settings s on lower(s.name) = w.name",
        (list(settings), list(settings.values())),
    )


@contextmanager
def rows_as_stored(conn: Connection) -> Iterator[None]:
    """A database of SQL_ASCII converts nothing and may hold any bytes: its rows are read without the check
    that they are UTF-8. Within, statements are sent as bytes made before. Elsewhere nothing changes."""
    unchecked = conn.info.parameter_status("server_encoding") == "SQL_ASCII"
    if unchecked:
        _set_client_encoding(conn, "SQL_ASCII")
    yield
    if unchecked:  # after an error the transaction is over, and the setting with it
        _set_client_encoding(conn, PINNED["client_encoding"])


def _set_client_encoding(conn: Connection, encoding: str) -> None:
    """For the current transaction only."""
    conn.execute("select set_config('client_encoding', %s, true)", (encoding,))


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Errors of PostgreSQL while `what` (such as `table public.posts`) is read, as SourceErrors naming it."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(what, error) from error


def translated(what: str, error: psycopg.Error) -> SourceError:
    """`error` in our words. DETAIL lines are left out: they can quote rows."""
    found = f"{error.sqlstate or 'no answer'}: {error.diag.message_primary or type(error).__name__}"
    match error:
        case psycopg.errors.InsufficientPrivilege():
            return SourcePermission(
                f"No permission to read {what}",
                expected="a backup role that may read everything",
                found=found,
                do="GRANT pg_read_all_data to the backup role (PostgreSQL 14 and later), or SELECT on each "
                "table and sequence and USAGE on each schema",
            )
        case psycopg.errors.LockNotAvailable():
            return SourceChanged(
                f"{what} is locked by somebody else",
                expected="a shared lock within the source's lock_timeout_seconds",
                found=found,
                do="run the backup when no ALTER, TRUNCATE, VACUUM FULL or LOCK TABLE is at work, or raise "
                "lock_timeout_seconds in config/sources.yaml",
            )
        case psycopg.errors.ProgramLimitExceeded() | psycopg.errors.OutOfMemory():
            return SourceError(
                f"{what} is beyond a limit of the server",
                expected="a server that can hold one lock for each table, and rows under 1 GB as text",
                found=found,
                do="if it speaks of locks or shared memory, raise max_locks_per_transaction in the server's "
                "configuration (it takes a restart)",
            )
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return changed(what, found)
        case psycopg.errors.SerializationFailure() if "recovery" in found:
            return standby_conflict(f"{what} could not be read to its end", found)
        case psycopg.errors.SerializationFailure() | psycopg.errors.WrongObjectType():
            return changed(what, found)
        case psycopg.errors.CharacterNotInRepertoire() | psycopg.errors.UntranslatableCharacter():
            return SourceError(
                f"{what} cannot be read as UTF-8",
                expected="names and definitions that are UTF-8 where the database is SQL_ASCII, and values "
                "that have a place in UTF-8 where it has an encoding",
                found=f"{error.sqlstate}, {type(error).__name__}",  # the message quotes bytes
                do="move the data to a database in UTF8, or rename and rewrite what is not UTF-8",
            )
    if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
        return SourceUnreachable(
            f"The connection was lost while reading {what}",
            expected="a server that stays up for the length of a backup",
            found=found,
            do="look into the server's log for a restart or a terminated session; the run is repeated",
        )
    return SourceError(
        f"{what} cannot be read",
        expected="data that PostgreSQL itself can read",
        found=found,
        do="try SELECT on it as the backup role; if data are damaged, pg_amcheck shows where",
    )


def changed(what: str, found: str) -> SourceChanged:
    """Something was dropped, renamed or rewritten between the snapshot and the lock."""
    return SourceChanged(
        f"{what} changed while the backup began",
        expected="the definitions that the snapshot shows",
        found=found,
        do="nothing: the run is repeated; if it happens every time, move the backup away from migrations",
    )


def standby_conflict(what: str, found: str) -> SourceChanged:
    """The standby server ended the reading: it was told to remove rows or tables that were still in use."""
    return SourceChanged(
        what,
        expected="a standby server that keeps what is being read for the length of a backup",
        found=found,
        do="nothing now: the run is repeated; if it happens every time, on the standby raise "
        "max_standby_streaming_delay or set hot_standby_feedback = on, or back up the primary",
    )
