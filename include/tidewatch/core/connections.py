"""Addresses with secrets, by id: an Airflow connection, or the same definition in the environment.

The rooms below orchestration never ask Airflow: they are given a `Resolver`. Without Airflow (CLI, cron) the
resolver is `from_environment`, which reads the variables that Airflow itself reads, `AIRFLOW_CONN_<ID>`, and
then the file that Airflow's LocalFilesystemBackend reads, where `TIDEWATCH_CONNECTIONS_FILE` names it.
"""

import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

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
        fields = {
            "host": self.host,
            "port": self.port or None,
            "user": self.login,
            "password": self.password,
            "dbname": self.schema,
            **self._libpq_extras(),
        }
        return make_conninfo(**{k: str(v) for k, v in fields.items() if v is not None and v != ""})

    def _libpq_extras(self) -> dict[str, Any]:
        """What `extra` says to libpq, as Airflow's own hook passes it on; a keyword nobody knows is an error.

        Dropping `ssl_mode` in silence would drop the encryption that somebody asked for.
        """
        known = {option.keyword.decode() for option in Conninfo.get_defaults()}
        wrong = sorted(k for k in self.extra if k not in known and k not in _HOOK_EXTRAS)
        if self.extra.get("iam"):
            wrong.append("iam")
        if wrong:
            close = [m for w in wrong for m in difflib.get_close_matches(w, sorted(known), n=1)]
            raise ConfigError(
                f"Connection {self.conn_id} has extras that cannot be used",
                expected="libpq keywords such as sslmode, sslrootcert, connect_timeout",
                found=", ".join(wrong),
                do=f"correct the extra of connection {self.conn_id}"
                + (f" (did you mean {', '.join(close)}?)" if close else ""),
            )
        return {k: v for k, v in self.extra.items() if k in known}


# Options of Airflow's PostgreSQL hook that mean nothing to libpq.
_HOOK_EXTRAS = frozenset({"cursor", "iam", "sqlalchemy_scheme", "sqlalchemy_query", "aws_conn_id"})
_JSON_KEYS = frozenset({"conn_type", "description", "host", "login", "password", "schema", "port", "extra"})

Resolver = Callable[[str], Connection]
"""conn_id -> Connection; raises MissingConnection."""


def from_environment(conn_id: str) -> Connection:
    """The connection in `AIRFLOW_CONN_<CONN_ID>` (JSON or URI form, as Airflow reads it), else in the JSON
    file named by `TIDEWATCH_CONNECTIONS_FILE` (connection id -> object or URI)."""
    place = f"variable AIRFLOW_CONN_{conn_id.upper()}"
    text = os.environ.get(place.removeprefix("variable "), "").strip()
    if not text and (file := os.environ.get("TIDEWATCH_CONNECTIONS_FILE")):
        place, text = f"entry {conn_id} of {file}", _entry(conn_id, Path(file))
    if not text:
        raise missing(conn_id)
    try:
        return _from_json(conn_id, text) if text.startswith("{") else _from_uri(conn_id, text)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"The {place} cannot be read",
            expected='a URI, or JSON such as {"conn_type": "postgres", "host": "...", "login": "..."}',
            found=_why(error),
            do=f"correct {place.removeprefix('variable ')}; docs/connections.md has examples",
        ) from None  # the cause quotes the value, which is secret


def _entry(conn_id: str, file: Path) -> str:
    """The text of one entry of a connections file, "" when it has none. Never quotes the file's content."""
    try:
        entry = json.loads(file.read_text(encoding="utf-8")).get(conn_id, "")
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"The connections file {file} cannot be read",
            expected="a readable JSON object: connection id -> connection",
            found=error.strerror or "an error" if isinstance(error, OSError) else _why(error),
            do="correct the file, or the variable TIDEWATCH_CONNECTIONS_FILE",
        ) from None  # the cause may quote the content, which is secret
    return entry.strip() if isinstance(entry, str) else json.dumps(entry)


class _Unreadable(ValueError):
    """Why, in words that quote nothing secret."""


def _why(error: Exception) -> str:
    if isinstance(error, _Unreadable):
        return str(error)
    if isinstance(error, json.JSONDecodeError):
        return f"JSON with a mistake at line {error.lineno}, column {error.colno}"
    return (
        "something else; in a URI, / @ : # % ? inside login or password are written %2F %40 %3A %23 %25 %3F"
    )


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
    if unknown := sorted(set(data) - _JSON_KEYS):
        raise _Unreadable(f"the unknown keys {', '.join(unknown)}; known are {', '.join(sorted(_JSON_KEYS))}")
    extra = data.get("extra") or {}
    port = data.get("port")
    return Connection(
        conn_id=conn_id,
        conn_type=_normal_type(_text(data, "conn_type") or ""),
        host=_text(data, "host"),
        port=int(port) if port else None,
        login=_text(data, "login"),
        password=_text(data, "password"),
        schema=_text(data, "schema"),
        extra=_extra(extra),
    )


def _text(data: Mapping[str, Any], key: str) -> str | None:
    """An empty text is the same as none; a number is what it looks like (passwords are often digits)."""
    value = data.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool | list | dict):
        raise _Unreadable(f"a value of {key} that is not text")
    return str(value)


def _extra(value: object) -> dict[str, Any]:
    data = json.loads(value) if isinstance(value, str) else value
    if not isinstance(data, dict):
        raise _Unreadable("an `extra` that is not a JSON object")
    return data


def _normal_type(name: str) -> str:
    return "postgres" if name == "postgresql" else name.replace("-", "_")


def _from_uri(conn_id: str, text: str) -> Connection:
    """`type://login:password@host:port/schema?extra`, every part percent-encoded.

    The host may carry a protocol of its own, `type://https://host:port/` or
    `type://https://login:password@host`, as Airflow writes it.
    """
    scheme, found, rest = text.partition("://")
    if not found or not scheme:
        raise _Unreadable("neither a URI nor JSON")
    protocol, nested, inner = rest.partition("://")
    if nested and not set(protocol) & set("@:/?#"):
        rest = inner
    elif "://" in rest.partition("?")[0]:
        raise _Unreadable("a URI with :// in the middle; inside login or password write it %3A%2F%2F")
    else:
        protocol = ""
    parts = urlsplit("//" + rest)
    if parts.fragment:
        raise _Unreadable("a URI with a #; inside login or password write it %23")
    query: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    host = _host(parts.netloc)
    return Connection(
        conn_id=conn_id,
        conn_type=_normal_type(scheme.lower()),
        host=f"{protocol.lower()}://{host}" if host and protocol else host or None,
        port=parts.port,
        login=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        schema=unquote(parts.path[1:]) or None,
        extra=_extra(query["__extra__"]) if "__extra__" in query else query,
    )


def _host(netloc: str) -> str:
    """The host of a network location, in lower case unless it is a (percent-encoded) socket directory."""
    address = netloc.rpartition("@")[2]
    if address.startswith("["):
        return address[1:].partition("]")[0].lower()
    host = address.partition(":")[0]
    path = unquote(host)
    return path if "/" in path else unquote(host.lower())
