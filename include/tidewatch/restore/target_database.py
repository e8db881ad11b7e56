"""The database that is restored to: can it take the backup, a place beside it, and the step in which the
new one takes its name.

Everything is loaded into `<name>__restoring` and renamed at the end, so that a database is there whole or not
at all; what a killed run left under that name is replaced.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tidewatch.core.database import Connection, connect, describe, execute, try_lock
from tidewatch.core.errors import Busy, ConfigError, SourceUnreachable, TargetError, TargetUnreachable
from tidewatch.core.progress import human_bytes
from tidewatch.vault.manifest import Manifest

_SUFFIX = "__restoring"
_LONGEST = 63
_LOCAL = {"", "localhost", "127.0.0.1", "::1"}
_INDEXES = 1.5
"""A database takes about so many times the bytes of its dump: rows have heads, and indexes are not dumped."""


@dataclass(frozen=True)
class Server:
    """What the server of a target told, and what of the database is there."""

    version: str
    major: int
    tablespaces: frozenset[str]
    roles: frozenset[str]
    exists: bool
    content: tuple[str, ...]
    """A few of the things that are in the database; empty: nothing, or no such database."""
    local_directory: Path | None
    """Where its data lie, when that is a directory of this machine."""


@dataclass(frozen=True)
class Target:
    """The database of `dsn`; `admin` is a DSN of another database on the same server."""

    dsn: str

    @property
    def name(self) -> str:
        return str(conninfo_to_dict(self.dsn).get("dbname") or "")

    @property
    def temporary(self) -> str:
        """The name while it is loaded."""
        return self.name.encode()[: _LONGEST - len(_SUFFIX)].decode("utf-8", "ignore") + _SUFFIX

    def of(self, name: str) -> str:
        """DSN of another database of the same server."""
        fields = conninfo_to_dict(self.dsn)
        fields["dbname"] = name
        return make_conninfo("", **fields)


def look(target: Target) -> Server:
    """Ask the server. Raises TargetUnreachable, ConfigError (no name)."""
    if not target.name:
        raise ConfigError(
            "The target names no database",
            expected="database:CONNECTION/NAME, or a connection whose schema is the name",
            found="a connection without a database",
            do="write the name behind the connection",
        )
    if len(target.name.encode()) > _LONGEST or target.name.endswith(_SUFFIX):
        raise ConfigError(
            f"A database cannot be restored under the name {target.name[:_LONGEST]}",
            expected=f"at most {_LONGEST} bytes, not ending in {_SUFFIX}, which is removed when it is found",
            found=f"{len(target.name.encode())} bytes",
            do="choose another name",
        )
    with _admin(target) as conn:
        facts = execute(conn, "vault/server_facts").fetchone() or {}
        found = conn.execute(
            "select datistemplate from pg_database where datname = %s", (target.name,)
        ).fetchone()
    if found is not None and found["datistemplate"]:
        raise ConfigError(
            f"The database {target.name} is a template",
            expected="a database that no other one is made from",
            found="a database whose content every new one of the server would get",
            do="choose another name",
        )
    content: tuple[str, ...] = ()
    if found is not None:
        with _session(target.dsn) as conn:
            content = tuple(row["found"] for row in execute(conn, "vault/anything_there"))
    host = str(conninfo_to_dict(target.dsn).get("host") or "")
    directory = Path(facts["data_directory"]) if facts["data_directory"] else None
    local = directory is not None and (host in _LOCAL or host.startswith("/")) and _is_there(directory)
    return Server(
        version=facts["server_version"],
        major=facts["server_version_num"] // 10000,
        tablespaces=frozenset(facts["tablespaces"] or ()),
        roles=frozenset(facts["roles"] or ()),
        exists=found is not None,
        content=content,
        local_directory=directory if local else None,
    )


def _is_there(directory: Path) -> bool:
    try:
        return directory.is_dir()
    except OSError:
        return False


def require_fit(target: Target, manifest: Manifest, *, replace: bool = False) -> tuple[Server, list[str]]:
    """Everything that can be known before anything is fetched. Returns the facts and remarks for a person.

    Raises TargetError (an older major version, extensions missing, not empty unless `replace`, no right to
    create a database, too little disk), TargetUnreachable, ConfigError.
    """
    server = look(target)
    place, backup = describe(target.dsn), manifest.database
    if backup is None:
        raise ConfigError(
            f"{manifest.backup_id} is a backup of files",
            expected="a directory or a bucket to restore it to",
            found=f"the database {place}",
            do="give --to directory:PATH or --to bucket:CONNECTION/BUCKET/PREFIX",
        )
    major, remarks = backup.server_version_num // 10000, []
    if server.major < major:
        raise TargetError(
            f"The server of {place} is older than the backup",
            expected=f"PostgreSQL {major} or newer",
            found=f"PostgreSQL {server.version}",
            do=f"restore to a server of version {major}; a dump cannot go back to an older one",
        )
    if server.major > major:
        remarks.append(
            f"the backup is of PostgreSQL {backup.server_version}, the target is {server.version}: it is "
            "loaded into the newer one; run your own tests before you rely on it"
        )
    with _admin(target) as conn:
        facts = execute(conn, "vault/server_facts").fetchone() or {}
    known = set(facts["extensions"] or ())
    if lacking := sorted({e.name for e in backup.extensions} - known):
        raise TargetError(
            f"The server of {place} lacks extensions that the backup needs",
            expected="available there: " + ", ".join(sorted(e.name for e in backup.extensions)),
            found="not available: " + ", ".join(lacking),
            do="install the packages of these extensions on the server, or restore to another one",
        )
    if not facts["may_create"]:
        raise TargetError(
            f"The role of {place} may not create a database",
            expected="a superuser, or a role with CREATEDB that owns what the backup's owners own",
            found="neither SUPERUSER nor CREATEDB",
            do="use a connection of a superuser for the restore",
        )
    if not facts["is_superuser"]:
        remarks.append(
            "the role of the target is no superuser: an owner, extension or role that it may not set ends "
            "the restore"
        )
    if server.content and not replace:
        raise TargetError(
            f"The database {place} is not empty",
            expected="a name that is free, or a database with nothing in it",
            found=", ".join(server.content),
            do="give another name behind the connection; to replace it, list it under `overwrite` in "
            "config/restore.yaml and confirm its name",
        )
    _require_room(server, manifest, place)
    return server, remarks


def _require_room(server: Server, manifest: Manifest, place: str) -> None:
    if server.local_directory is None:
        return  # the disk of another machine cannot be asked for through SQL
    dump = sum(o.plain_size for o in manifest.objects if o.role == "dump")
    require_room(server.local_directory, int(dump * _INDEXES), f"the data directory of {place}")


def require_room(directory: Path, needed: int, what: str) -> None:
    """Raises TargetError unless `needed` bytes are free where `directory` is, or will be."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needed:
        raise TargetError(
            f"There is too little room on the disk of {what}",
            expected=f"{human_bytes(needed)} free at {directory}",
            found=f"{human_bytes(free)}",
            do="make room, or choose another place (--work-dir for what is fetched)",
        )


@contextlib.contextmanager
def held(target: Target) -> Iterator[Connection]:
    """A session beside the target, which nobody else restores to meanwhile. Raises Busy."""
    with _admin(target) as conn:
        # Long names can share the one that is loaded under.
        if not try_lock(conn, f"tidewatch.restore {target.temporary}"):
            raise Busy(
                f"Somebody else restores to {describe(target.dsn)}",
                expected="one restore at a time to a database",
                found="another session that holds its lock",
                do="wait until it has ended",
            )
        yield conn


def create_temporary(conn: Connection, target: Target, options: str) -> str:
    """Make the database that is loaded, anew; its DSN. `options`: what follows the name in CREATE DATABASE.
    Raises TargetError."""
    drop_temporary(conn, target)
    try:
        # The text is that of pg_dump on the server that was backed up, from an archive that was checked.
        conn.execute(
            sql.SQL("create database {} ").format(sql.Identifier(target.temporary)).as_bytes(conn)
            + options.encode()
        )
    except psycopg.Error as error:
        raise TargetError(
            f"The database {target.temporary} cannot be made on the server of {describe(target.dsn)}",
            expected=f"CREATE DATABASE {options}".strip(),
            found=error.diag.message_primary or type(error).__name__,
            do="install the locale on the server, or give the role CREATEDB; what was there is untouched",
        ) from error
    return target.of(target.temporary)


def drop_temporary(conn: Connection, target: Target) -> None:
    """Remove it with whoever is connected to it; none is fine."""
    name = sql.Identifier(target.temporary)
    with contextlib.suppress(psycopg.errors.InvalidCatalogName):
        conn.execute(sql.SQL("drop database {} with (force)").format(name))


def publish(conn: Connection, target: Target, *, stamp: str) -> str | None:
    """Give the loaded database its name. One of that name with content is kept under another name, which is
    returned; an empty one goes. Both names change in one step. Raises TargetError; everything is as it was
    then."""
    suffix = f"__before_{stamp}"
    kept = target.name.encode()[: _LONGEST - len(suffix)].decode("utf-8", "ignore") + suffix
    rename = sql.SQL("alter database {} rename to {}")
    name, temporary, old = (sql.Identifier(n) for n in (target.name, target.temporary, kept))
    try:
        exists = conn.execute("select from pg_database where datname = %s", (target.name,)).fetchone()
        with conn.transaction():
            if exists is not None:
                conn.execute(rename.format(name, old))
            conn.execute(rename.format(temporary, name))
    except psycopg.Error as error:
        raise TargetError(
            f"The restored database cannot take the name {target.name}",
            expected="nobody connected to the database that is replaced",
            found=error.diag.message_primary or type(error).__name__,
            do="end the sessions on it and run again; what was fetched is kept",
        ) from error
    return kept if exists is not None and not _dropped_if_empty(conn, target, kept) else None


def _dropped_if_empty(conn: Connection, target: Target, name: str) -> bool:
    """Nobody looks for it under this name any more: what it holds now is all that it will."""
    try:
        with _session(target.of(name)) as there:
            if execute(there, "vault/anything_there").fetchone() is not None:
                return False
        conn.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
    except (psycopg.Error, TargetUnreachable):
        return False
    return True


@contextlib.contextmanager
def _admin(target: Target) -> Iterator[Connection]:
    """A session on a database of the server that is not the target."""
    other = "postgres" if target.name != "postgres" else "template1"
    with _session(target.of(other)) as conn:
        yield conn


@contextlib.contextmanager
def _session(dsn: str) -> Iterator[Connection]:
    try:
        conn = connect(dsn, application_name="tidewatch restore", autocommit=True)
    except SourceUnreachable as error:
        raise TargetUnreachable(error.what, expected=error.expected, found=error.found, do=error.do) from None
    with contextlib.closing(conn):
        for name in ("statement_timeout", "lock_timeout"):
            conn.execute("select set_config(%s, '0', false)", (name,))
        yield conn
