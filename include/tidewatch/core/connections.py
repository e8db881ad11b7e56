"""Addresses with secrets, by id: an Airflow connection, or the same definition in the environment.

The rooms below orchestration never ask Airflow: they are given a `Resolver`. Without Airflow (CLI, cron) the
resolver is `from_environment`, which reads the variables that Airflow itself reads, `AIRFLOW_CONN_<ID>`.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from psycopg.conninfo import make_conninfo

from tidewatch.core.errors import ConfigError, MissingConnection


@dataclass(frozen=True)
class Connection:
    """The fields of an Airflow connection. Secrets are kept out of `repr`."""

    conn_id: str
    conn_type: str
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    schema: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def postgres_dsn(self) -> str:
        """libpq connection string. Raises ConfigError when this is not a PostgreSQL connection."""
        if self.conn_type not in {"postgres", "postgresql"}:
            raise ConfigError(
                f"Connection {self.conn_id} is not a PostgreSQL connection",
                expected="type postgres",
                found=f"type {self.conn_type}",
                do=f"set the type of connection {self.conn_id} to postgres",
            )
        libpq = {k: str(v) for k, v in self.extra.items() if k in _LIBPQ_EXTRAS}
        fields = {
            "host": self.host,
            "port": str(self.port) if self.port else None,
            "user": self.login,
            "password": self.password,
            "dbname": self.schema,
            **libpq,
        }
        return make_conninfo(**{k: v for k, v in fields.items() if v is not None and v != ""})


_LIBPQ_EXTRAS = frozenset(
    {
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslcrl",
        "connect_timeout",
        "options",
        "target_session_attrs",
        "keepalives",
        "keepalives_idle",
        "channel_binding",
        "gssencmode",
    }
)

Resolver = Callable[[str], Connection]
"""conn_id -> Connection; raises MissingConnection."""


def from_environment(conn_id: str) -> Connection:
    """The connection in `AIRFLOW_CONN_<CONN_ID>` (JSON or URI form, as Airflow reads it)."""
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    text = os.environ.get(variable)
    if not text:
        raise missing(conn_id)
    try:
        return _from_json(conn_id, text) if text.lstrip().startswith("{") else _from_uri(conn_id, text)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"The variable {variable} cannot be read",
            expected='a URI, or JSON such as {"conn_type": "postgres", "host": ..., "login": ...}',
            found=type(error).__name__,
            do=f"correct {variable}; `docs/connections.md` has examples",
        ) from None  # the cause quotes the value, which is secret


def missing(conn_id: str) -> MissingConnection:
    """The error for a connection that nobody defined."""
    return MissingConnection(
        f"There is no connection {conn_id}",
        expected=f"an Airflow connection {conn_id}, or the variable AIRFLOW_CONN_{conn_id.upper()}",
        found="neither",
        do=f"`airflow connections add {conn_id} ...`, or set the variable; docs/connections.md has examples",
    )


def _from_json(conn_id: str, text: str) -> Connection:
    data = json.loads(text)
    extra = data.get("extra") or {}
    if isinstance(extra, str):
        extra = json.loads(extra)
    port = data.get("port")
    return Connection(
        conn_id=conn_id,
        conn_type=data.get("conn_type", ""),
        host=data.get("host"),
        port=int(port) if port else None,
        login=data.get("login"),
        password=data.get("password"),
        schema=data.get("schema"),
        extra=dict(extra),
    )


def _from_uri(conn_id: str, text: str) -> Connection:
    parts = urlsplit(text)
    extra: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "__extra__" in extra:
        extra = json.loads(extra["__extra__"])
    return Connection(
        conn_id=conn_id,
        conn_type=parts.scheme.replace("-", "_"),
        host=unquote(parts.hostname) if parts.hostname else None,
        port=parts.port,
        login=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        schema=unquote(parts.path.lstrip("/")) or None,
        extra=extra,
    )
