"""PostgreSQL: connections, migrations, named statements, advisory locks."""

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import ConfigError, NotFound, SourceUnreachable
from tidewatch.core.settings import load_settings

Connection = psycopg.Connection[DictRow]

_MIGRATION = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_CONNECT_TIMEOUT_S = 15


def connect(dsn: str, *, application_name: str, autocommit: bool = False) -> Connection:
    """A connection whose rows are dicts. Raises SourceUnreachable; the text never holds the password."""
    try:
        return psycopg.connect(
            dsn,
            row_factory=dict_row,
            autocommit=autocommit,
            application_name=application_name,
            connect_timeout=_CONNECT_TIMEOUT_S,
        )
    except psycopg.Error as error:
        raise SourceUnreachable(
            f"No connection to the database {describe(dsn)}",
            expected="a PostgreSQL server that accepts this user",
            found=" ".join(str(error).split()),
            do="check that the server runs, and host, port, user, password and pg_hba.conf",
        ) from None  # psycopg's own traceback may carry the connection string


def describe(dsn: str) -> str:
    """`user@host:port/dbname` of a connection string, for messages."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "(a connection string that cannot be read)"
    host, port = parts.get("host", "local socket"), parts.get("port", 5432)
    return f"{parts.get('user', '?')}@{host}:{port}/{parts.get('dbname', '?')}"


@lru_cache(maxsize=256)
def statement(name: str) -> LiteralString:
    """The text of `sql/<name>.sql`, e.g. `statement("evidence/append")`. Raises NotFound."""
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

    Returns the names applied. Parallel callers wait for each other. Raises ConfigError when a file that was
    applied earlier has changed since: a migration is history, a change is a new file.
    """
    files = sorted(p for p in migrations_dir.glob("*.sql") if _MIGRATION.match(p.name))
    applied: list[str] = []
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(%s)", (lock_number("tidewatch.migrate"),))
        conn.execute(
            "create table if not exists public.tidewatch_migrations "
            "(name text primary key, sha256 text not null, applied_at timestamptz not null default now())"
        )
        known = {r["name"]: r["sha256"] for r in conn.execute("select * from public.tidewatch_migrations")}
        for path in files:
            text = path.read_text(encoding="utf-8")
            checksum = sha256_hex(text.encode())
            if path.name in known:
                if known[path.name] != checksum:
                    raise ConfigError(
                        f"The migration {path.name} was changed after it was applied",
                        expected=f"SHA-256 {known[path.name]}",
                        found=f"SHA-256 {checksum}",
                        do="restore the file and put the change into a new migration",
                    )
                continue
            conn.execute(text)
            conn.execute(
                "insert into public.tidewatch_migrations (name, sha256) values (%s, %s)",
                (path.name, checksum),
            )
            applied.append(path.name)
    return applied


def lock_number(name: str) -> int:
    """The 64-bit number of an advisory lock: the first 8 bytes of SHA-256 of its name, signed."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def try_lock(conn: Connection, name: str) -> bool:
    """Take the session-level advisory lock `name` or return False at once.

    The server releases it when the connection ends, also when its process is killed.
    """
    row = conn.execute("select pg_try_advisory_lock(%s) as got", (lock_number(name),)).fetchone()
    return bool(row and row["got"])


def unlock(conn: Connection, name: str) -> None:
    """Release what `try_lock` took."""
    conn.execute("select pg_advisory_unlock(%s)", (lock_number(name),))
