"""Roles of the server that was backed up, on the one that is restored to. Roles belong to a whole server:
only those that are missing there are made, and what exists is left as it is."""

import re
from collections.abc import Collection, Iterator

import psycopg
from psycopg import sql

from tidewatch.core.database import Connection
from tidewatch.core.errors import TargetError

_NAME = r'("(?:[^"]|"")+"|[^\s";]+)'
_CREATE = re.compile(rf"CREATE ROLE {_NAME};", re.DOTALL)
_ENCODING = re.compile(r"SET client_encoding = '(\w+)';")
_ALTER = re.compile(rf"(?:ALTER ROLE|COMMENT ON ROLE|SECURITY LABEL .*? ON ROLE) {_NAME}\b", re.DOTALL)
_GRANT = re.compile(rf"GRANT {_NAME} TO {_NAME}(.*?)(?: GRANTED BY {_NAME})?;", re.DOTALL)


def restore_roles(conn: Connection, script: str, existing: Collection[str]) -> list[str]:
    """Run what concerns missing roles of `script` (pg_dumpall --roles-only) in one transaction; returns the
    names of those made. Memberships are given when one of the two was made. Raises TargetError."""
    made: list[str] = []
    there = set(existing)
    try:
        with conn.transaction():
            for text in statements(script):
                if found := _ENCODING.fullmatch(text):
                    conn.execute("select set_config('client_encoding', %s, true)", (found[1],))
                elif found := _CREATE.fullmatch(text):
                    name = _unquoted(found[1])
                    if name not in there and _created(conn, text):
                        made.append(name)
                elif (found := _ALTER.match(text)) and _unquoted(found[1]) in made:
                    conn.execute(_bytes(text))
                elif (found := _GRANT.fullmatch(text)) and any(_unquoted(found[n]) in made for n in (1, 2)):
                    # Without who granted it: that role need not exist here, or hold what it held there.
                    conn.execute(_bytes(f"GRANT {found[1]} TO {found[2]}{found[3]};"))
    except psycopg.Error as error:
        raise TargetError(
            "The roles of the backup cannot be made on the target",
            expected="a role that may create them (a superuser)",
            found=error.diag.message_primary or type(error).__name__,
            do="restore with a superuser, or create the roles by hand first: those that exist are left alone",
        ) from error
    return made


def _created(conn: Connection, text: str) -> bool:
    """A name that is not UTF-8 in the script is known to exist only when the server says so."""
    try:
        with conn.transaction():
            conn.execute(_bytes(text))
    except psycopg.errors.DuplicateObject:
        return False
    return True


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def drop_roles(conn: Connection, names: Collection[str]) -> None:
    """Undo `restore_roles`. A role that something depends on by now stays."""
    for name in names:
        try:
            conn.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))
        except psycopg.Error:
            continue


def statements(script: str) -> Iterator[str]:
    """The SQL statements of a script, each to its semicolon; comments and psql's own commands left out."""
    start = at = 0
    while at < len(script):
        char = script[at]
        if script.startswith("--", at) or (char == "\\" and not script[start:at].strip()):
            end = script.find("\n", at)
            end = len(script) if end < 0 else end
            script = script[:at] + script[end:]
        elif char in "'\"":
            closing = at + 1
            while closing < len(script) and script[closing] != char:
                # E'...' is what pg_dumpall writes where there is a backslash: it doubles them.
                closing += 1
            at = closing + 1
        elif char == ";":
            yield script[start : at + 1].strip()
            start = at = at + 1
        else:
            at += 1


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
