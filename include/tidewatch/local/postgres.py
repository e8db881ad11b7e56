"""The PostgreSQL of the local stack, with the databases and roles in it."""

import psycopg
from psycopg import sql

from tidewatch.core.pgserver import SUPERUSER, PgServer

__all__ = ["SUPERUSER", "LocalPostgres"]


class LocalPostgres(PgServer):
    """One server with its home directory. Safe to construct for a server that already runs."""

    def create_database(self, name: str, *, owner: str = SUPERUSER) -> None:
        """Create the database unless it is there."""
        with psycopg.connect(self.dsn(), autocommit=True) as conn:
            if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
                conn.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
                )

    def drop_database(self, name: str) -> None:
        """Remove the database and everybody connected to it."""
        with psycopg.connect(self.dsn(), autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def ensure_role(self, name: str, password: str, *, options: str = "") -> None:
        """A login role with this password; `options` such as `BYPASSRLS` are ours, never user input."""
        with psycopg.connect(self.dsn(), autocommit=True) as conn:
            # Sent as a SCRAM verifier: the password itself reaches neither the wire nor the server's log.
            verifier = conn.pgconn.encrypt_password(
                password.encode(), name.encode(), b"scram-sha-256"
            ).decode("ascii")
            known = conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
            conn.execute(
                sql.SQL("{} ROLE {} WITH LOGIN {} PASSWORD {}").format(
                    sql.SQL("ALTER" if known else "CREATE"),
                    sql.Identifier(name),
                    sql.SQL(options),
                    sql.Literal(verifier),
                )
            )
