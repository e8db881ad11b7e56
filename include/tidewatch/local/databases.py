"""The databases and roles of the local server, and the connections that lead to them.

`tidewatch` (warehouse and evidence), `airflow` (its metadata), `ops` (the sample source). Each has an owner
of its own; `tidewatch_backup` is what a backup role needs anywhere: it reads everything and writes nothing.
"""

import json
import secrets
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tidewatch.core.files import write_private
from tidewatch.local.postgres import LocalPostgres

_OWNERS = {"tidewatch": "tidewatch", "airflow": "airflow", "ops": "ops_owner"}
BACKUP_ROLE = "tidewatch_backup"
_OPTIONS = {
    BACKUP_ROLE: "BYPASSRLS",  # a backup that silently skipped rows would be worse than none
    "ops_owner": "CREATEROLE",  # the sample database comes with roles of its own
}


def ensure(server: LocalPostgres, home: Path) -> None:
    """Create roles and databases that are missing; passwords are generated once, in a private file."""
    known = _passwords(home)
    for role in (*_OWNERS.values(), BACKUP_ROLE):
        server.ensure_role(role, known[role], options=_OPTIONS.get(role, ""))
    for database, owner in _OWNERS.items():
        server.create_database(database, owner=owner)
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute(sql.SQL("GRANT pg_read_all_data TO {}").format(sql.Identifier(BACKUP_ROLE)))
    grant_large_objects(server)


def grant_large_objects(server: LocalPostgres) -> None:
    """pg_read_all_data does not reach large objects: theirs is a grant for each, and for those to come."""
    role = sql.Identifier(BACKUP_ROLE)
    with psycopg.connect(server.dsn("ops")) as conn:
        conn.execute(
            sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE ops_owner GRANT SELECT ON LARGE OBJECTS TO {}").format(
                role
            )
        )
        for (number,) in conn.execute("SELECT oid FROM pg_largeobject_metadata").fetchall():
            grant = sql.SQL("GRANT SELECT ON LARGE OBJECT {} TO {}")
            conn.execute(grant.format(sql.Literal(int(number)), role))


def cluster(server: LocalPostgres) -> str:
    """An id that a new data directory does not share with an old one."""
    with psycopg.connect(server.dsn()) as conn:
        row = conn.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    return str(row[0]) if row else ""


def dsn(server: LocalPostgres, home: Path, database: str) -> str:
    """libpq connection string of the database's owner; never print it."""
    owner = _OWNERS[database]
    return server.dsn(database, owner, _passwords(home)[owner])


def url(server: LocalPostgres, home: Path, database: str) -> str:
    """SQLAlchemy URL (psycopg2) of the database's owner; the generated passwords need no quoting."""
    owner = _OWNERS[database]
    return f"postgresql+psycopg2://{owner}:{_passwords(home)[owner]}@127.0.0.1:{server.port}/{database}"


def connections(server: LocalPostgres, home: Path) -> dict[str, dict[str, Any]]:
    """Connection id -> fields, as Airflow reads them."""
    known = _passwords(home)

    def fields(role: str, database: str) -> dict[str, Any]:
        return {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": server.port,
            "login": role,
            "password": known[role],
            "schema": database,
        }

    admin = fields(BACKUP_ROLE, "postgres")
    return {
        "tidewatch_warehouse": fields("tidewatch", "tidewatch"),
        "tidewatch_source_ops": fields(BACKUP_ROLE, "ops"),
        "tidewatch_source_airflow": fields(BACKUP_ROLE, "airflow"),
        "tidewatch_source_tidewatch": fields(BACKUP_ROLE, "tidewatch"),
        # What restores need: a superuser, who may make databases and whatever is in them.
        "tidewatch_restore": {**admin, "login": "postgres", "password": server.password},
    }


def _passwords(home: Path) -> dict[str, str]:
    path = home / "pg" / "roles.json"
    if path.exists():
        return {str(k): str(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}
    fresh = {role: secrets.token_hex(20) for role in (*_OWNERS.values(), BACKUP_ROLE)}
    write_private(path, json.dumps(fresh))
    return fresh
