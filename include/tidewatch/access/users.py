"""The users of the console where it stands alone, in the table console.users. In the caller's transaction."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import psycopg

from tidewatch.access import passwords
from tidewatch.access.roles import ROLES, Role, known_roles
from tidewatch.core.clock import require_utc
from tidewatch.core.database import Connection, execute
from tidewatch.core.errors import AlreadyExists, ConfigError, NotFound
from tidewatch.evidence import ledger, schemas

Change = Literal["added", "roles", "password", "removed"]


@dataclass(frozen=True)
class User:
    """One user; the password's hash stays in the database."""

    name: str
    roles: frozenset[Role]
    created_at: datetime
    changed_at: datetime


def users(conn: Connection) -> list[User]:
    """Everybody, by name."""
    return [_user(row) for row in execute(conn, "access/users")]


def add_user(
    conn: Connection,
    name: str,
    password: str,
    roles: Collection[str],
    *,
    by: str,
    now: datetime,
    cost: int = passwords.COST,
) -> None:
    """Enter a user. Raises ConfigError for a name, role or password that cannot be used, AlreadyExists."""
    _check_name(name)
    wanted = _check_roles(roles)
    hashed = passwords.hash_password(password, name=name, cost=cost)
    try:
        execute(
            conn,
            "access/add_user",
            {"name": name, "roles": sorted(wanted), "password": hashed, "now": require_utc(now)},
        )
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyExists(
            f"There is a user {name} already",
            expected="a name that nobody has",
            found=name,
            do="choose another name, or change this one with `tidewatch console set-roles` or `set-password`",
        ) from error
    _record(conn, name, "added", wanted, by, now)


def set_roles(conn: Connection, name: str, roles: Collection[str], *, by: str, now: datetime) -> None:
    """Give other roles; they hold from the next page on. Raises ConfigError, NotFound."""
    wanted = _check_roles(roles)
    _changed(conn, "access/set_roles", {"name": name, "roles": sorted(wanted), "now": require_utc(now)})
    _record(conn, name, "roles", wanted, by, now)


def set_password(
    conn: Connection, name: str, password: str, *, by: str, now: datetime, cost: int = passwords.COST
) -> None:
    """Another password; every session of the user ends. Raises ConfigError, NotFound."""
    hashed = passwords.hash_password(password, name=name, cost=cost)
    _changed(conn, "access/set_password", {"name": name, "password": hashed, "now": require_utc(now)})
    execute(conn, "access/end_sessions", {"name": name})
    _record(conn, name, "password", frozenset(), by, now)


def remove_user(conn: Connection, name: str, *, by: str, now: datetime) -> None:
    """The user and every session of his are gone; what he did stays in the ledger. Raises NotFound."""
    _changed(conn, "access/remove_user", {"name": name})
    _record(conn, name, "removed", frozenset(), by, now)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 64 or not name.isprintable() or any(c.isspace() for c in name):
        raise ConfigError(
            "This name cannot be used for a user",
            expected="1 to 64 letters, digits or signs, without spaces",
            found=f"{len(name)} characters, or one that cannot be seen",
            do="choose another name",
        )


def _check_roles(roles: Collection[str]) -> frozenset[Role]:
    wanted = known_roles(roles)
    if not wanted or len(wanted) != len(set(roles)):
        raise ConfigError(
            "These roles cannot be given",
            expected="one or more of " + ", ".join(ROLES),
            found=", ".join(sorted(set(roles))) or "none",
            do="name roles of the list",
        )
    return wanted


def _changed(conn: Connection, statement: str, parameters: dict[str, object]) -> None:
    if execute(conn, statement, parameters).rowcount == 0:
        raise NotFound(
            f"There is no user {parameters['name']}",
            expected="the name of a user of the console",
            found=str(parameters["name"]),
            do="`tidewatch console users` lists them",
        )


def _record(
    conn: Connection, name: str, change: Change, roles: frozenset[Role], by: str, now: datetime
) -> None:
    body = schemas.UserChanged(name=name, change=change, roles=sorted(roles), by=by)
    ledger.append(conn, kind=body.KIND, subject=name, body=body, now=now)


def _user(row: dict[str, object]) -> User:
    return User(**{**row, "roles": known_roles(row["roles"])})  # type: ignore[arg-type]  # columns of the table
