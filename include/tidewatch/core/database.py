"""PostgreSQL: connections, migrations, named statements, advisory locks."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import ConfigError, NotFound, SourceUnreachable
from tidewatch.core.settings import load_settings

Connection = psycopg.Connection[DictRow]

_MIGRATION = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_CONNECT_TIMEOUT_S = 15


def connect(dsn: str, *, application_name: str, autocommit: bool = False) -> Connection:
    """A connection whose rows are dicts; it waits 15 s for the server unless the DSN says otherwise.

    Raises ConfigError for a connection string that libpq cannot read, and SourceUnreachable; their text never
    holds the password.
    """
    given = _parse(dsn)
    try:
        return psycopg.connect(
            dsn,
            row_factory=dict_row,
            autocommit=autocommit,
            application_name=application_name,
            connect_timeout=int(given.get("connect_timeout") or _CONNECT_TIMEOUT_S),
        )
    except psycopg.Error as error:
        text = " ".join(str(error).split())
        for secret in (given.get("password"), given.get("sslpassword")):
            if secret:
                text = text.replace(str(secret), "***")
        raise SourceUnreachable(
            f"No connection to the database {describe(dsn)}",
            expected="a PostgreSQL server that accepts this user",
            found=text,
            do="check that the server runs, and host, port, user, password (VALID UNTIL) and pg_hba.conf",
        ) from None  # psycopg's own traceback may carry the connection string


def describe(dsn: str) -> str:
    """`user@host:port/dbname` of a connection string, for messages."""
    try:
        parts = _parse(dsn)
    except ConfigError:
        return "(a connection string that cannot be read)"
    host, port = parts.get("host") or parts.get("hostaddr") or "local socket", parts.get("port", 5432)
    return f"{parts.get('user', '?')}@{host}:{port}/{parts.get('dbname', '?')}"


def _parse(dsn: str) -> dict[str, Any]:
    """The keywords of a connection string. Raises ConfigError, also where a password that was not escaped has
    spilt into the other fields: from there it would be shown."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
        spilt = not re.fullmatch(r"[\d,]*", str(parts.get("port") or "")) or (
            "://" in dsn and "@" in f"{parts.get('host') or ''}{parts.get('dbname') or ''}"
        )
    except psycopg.ProgrammingError:
        spilt = True  # libpq's own text quotes what it could not read
    if spilt:
        raise ConfigError(
            "A connection string cannot be read",
            expected="postgresql://user:password@host:port/dbname, or host=... user=... password='...'",
            found="something else (not shown, it may hold a password)",
            do="in a URL write / @ : # % ? of the password as %2F %40 %3A %23 %25 %3F",
        ) from None
    return parts


def statement(name: str) -> LiteralString:
    """The text of `sql/<name>.sql`, e.g. `statement("evidence/append")`. Raises NotFound."""
    return _statement(name, os.environ.get("TIDEWATCH_SQL_DIR"), os.environ.get("TIDEWATCH_PROJECT"))


@lru_cache(maxsize=512)
def _statement(name: str, sql_dir: str | None, project: str | None) -> LiteralString:
    """Cached by what decides about the directory too: reading settings for each statement is slow."""
    del sql_dir, project
    path = load_settings().sql_dir / f"{name}.sql"
    try:
        # The statements are files of this repository, not input: they may be used where psycopg
        # asks for literal text.
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFound(
            f"There is no statement {name}",
            expected=f"the file {path}",
            found="no such file",
            do="check TIDEWATCH_SQL_DIR, or reinstall: the checkout is incomplete",
        ) from error


def execute(conn: Connection, name: str, parameters: dict[str, Any] | None = None) -> psycopg.Cursor[DictRow]:
    """Run the named statement with `%(name)s` parameters."""
    return conn.execute(statement(name), parameters or {})


def migrate(conn: Connection, migrations_dir: Path) -> list[str]:
    """Apply every `NNNN_name.sql` that was not applied yet, each once, all in one transaction.

    Returns the names applied. Parallel callers wait for each other. `conn` should be idle: inside a
    transaction of the caller the work is the caller's to commit. Raises ConfigError when a migration fails
    (nothing of any is left), when a file that was applied earlier has changed or gone (a migration is
    history, a change is a new file), and when the directory does not hold what it should.
    """
    files = _migrations(migrations_dir)
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(%s)", (lock_number("tidewatch.migrate"),))
        conn.execute(
            "create table if not exists public.tidewatch_migrations "
            "(name text primary key, sha256 text not null, applied_at timestamptz not null default now())"
        )
        known = {r["name"]: r["sha256"] for r in conn.execute("select * from public.tidewatch_migrations")}
        _check_history(known, files)
        new = [name for name in files if name not in known]
        for name in new:
            _apply(conn, name, files[name])
    return new


def pending_migrations(conn: Connection, migrations_dir: Path) -> list[str]:
    """Names that `migrate` would apply, in order. Raises ConfigError as it does; changes nothing."""
    files = _migrations(migrations_dir)
    there = conn.execute("select to_regclass('public.tidewatch_migrations') as known").fetchone()
    if there is None or there["known"] is None:
        return list(files)
    known = {r["name"]: r["sha256"] for r in conn.execute("select * from public.tidewatch_migrations")}
    _check_history(known, files)
    return [name for name in files if name not in known]


def _migrations(directory: Path) -> dict[str, str]:
    """name -> text, in order. Line ends are those of Python, so that a checkout on Windows is the same."""
    paths = sorted(directory.glob("*.sql"))
    wrong = [p.name for p in paths if not _MIGRATION.match(p.name)]
    numbers = [p.name[:4] for p in paths]
    wrong += [p.name for p in paths if p.name not in wrong and numbers.count(p.name[:4]) > 1]
    if wrong or not paths:
        raise ConfigError(
            f"The directory {directory} does not hold migrations as it should",
            expected="files named NNNN_what_they_do.sql, each with a number of its own",
            found=", ".join(wrong) or "no .sql file",
            do="rename them; if the directory is the wrong one, set TIDEWATCH_SQL_DIR",
        )
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def _check_history(known: dict[str, str], files: dict[str, str]) -> None:
    for name, checksum in sorted(known.items()):
        if name not in files:
            raise ConfigError(
                f"The database has had the migration {name}, which this checkout does not know",
                expected="a checkout at least as new as the database",
                found=f"no file {name}",
                do="update the checkout, or connect to the database that belongs to it",
            )
        if (found := sha256_hex(files[name].encode())) != checksum:
            raise ConfigError(
                f"The migration {name} was changed after it was applied",
                expected=f"SHA-256 {checksum}",
                found=f"SHA-256 {found}",
                do="restore the file and put the change into a new migration",
            )


def _apply(conn: Connection, name: str, text: LiteralString) -> None:
    try:
        conn.execute(text)
        conn.execute(
            "insert into public.tidewatch_migrations (name, sha256) values (%s, %s)",
            (name, sha256_hex(text.encode())),
        )
    except psycopg.Error as error:
        raise ConfigError(
            f"The migration {name} failed and nothing of it was kept",
            expected="SQL that the server accepts",
            found=f"{error.diag.message_primary or type(error).__name__} ({error.sqlstate or 'no code'})",
            do="correct the file if it is new; otherwise check the role's rights on the database",
        ) from error


def lock_number(name: str) -> int:
    """The 64-bit number of an advisory lock: the first 8 bytes of SHA-256 of its name, signed."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def try_lock(conn: Connection, name: str) -> bool:
    """Take the session-level advisory lock `name` or return False at once.

    The server releases it when the connection ends, also when its process is killed. A transaction that ends,
    well or not, keeps it. The session that holds it gets True again and must then unlock twice.
    """
    with _no_transaction_left(conn):
        row = conn.execute("select pg_try_advisory_lock(%s) as got", (lock_number(name),)).fetchone()
    return bool(row and row["got"])


def unlock(conn: Connection, name: str) -> None:
    """Release what `try_lock` took."""
    with _no_transaction_left(conn):
        conn.execute("select pg_advisory_unlock(%s)", (lock_number(name),))


@contextmanager
def _no_transaction_left(conn: Connection) -> Iterator[None]:
    """End the transaction that the statement inside began, if it began one.

    A lock is held for as long as a backup takes; a transaction left open for hours would keep the server from
    cleaning up and may be killed as idle.
    """
    idle = conn.info.transaction_status == TransactionStatus.IDLE
    yield
    if idle and not conn.autocommit:
        conn.commit()
