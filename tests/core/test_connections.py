"""A connection means here what it means to Airflow, and a mistake in one is told without showing it."""

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from tidewatch.core.connections import Connection, from_environment
from tidewatch.core.errors import ConfigError, MissingConnection

Reader = Callable[[str], Connection]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Sets the variable of the connection `ops_db` and reads it."""

    def reader(text: str) -> Connection:
        monkeypatch.setenv("AIRFLOW_CONN_OPS_DB", text)
        return from_environment("ops_db")

    return reader


# Environment variables hold no NUL and no lone surrogates.
TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=12)
HOSTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,10}(\.[A-Za-z]{2,5})?", fullmatch=True) | st.just(
    "/var/run/PG"
)
TYPES = st.sampled_from(["postgres", "postgresql", "aws", "google-cloud-platform", "http"])
PORTS = st.none() | st.integers(1, 65535)
EXTRAS = st.dictionaries(
    st.text("abcdefghij_", min_size=1, max_size=8), TEXT.filter(lambda t: t == t.strip()), max_size=3
)


def as_airflow_reads_it(text: str) -> dict[str, Any]:
    from airflow.sdk import Connection as AirflowConnection

    if text.startswith("{"):
        theirs = AirflowConnection.from_json(text, conn_id="ops_db")
    else:
        theirs = AirflowConnection.from_uri(text, conn_id="ops_db")
    names = ("conn_type", "host", "port", "login", "password", "schema")
    # Airflow tells an empty part from a missing one in some forms and not in others.
    fields = {name: getattr(theirs, name) or None for name in names}
    return fields | {"extra": json.loads(theirs.extra) if theirs.extra else {}}


def ours(connection: Connection) -> dict[str, Any]:
    names = ("conn_type", "host", "port", "login", "password", "schema", "extra")
    return {name: getattr(connection, name) or None for name in names} | {"extra": dict(connection.extra)}


SAME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@SAME
@given(TYPES, HOSTS | st.just(""), PORTS, TEXT, TEXT, TEXT, EXTRAS, st.booleans())
def test_a_uri_means_what_it_means_to_airflow(
    read: Reader,
    kind: str,
    host: str,
    port: int | None,
    login: str,
    password: str,
    schema: str,
    extra: dict[str, str],
    nested: bool,
) -> None:
    userinfo = f"{quote(login, safe='')}:{quote(password, safe='')}@" if login or password else ""
    query = urlencode({"__extra__": json.dumps({"deep": [1, extra]})} if nested else extra)
    place = quote(host, safe="") + (f":{port}" if port else "")
    uri = f"{kind}://{userinfo}{place}/{quote(schema, safe='')}?{query}"
    assert ours(read(uri)) == as_airflow_reads_it(uri)


@SAME
@given(TYPES, HOSTS, PORTS, TEXT, TEXT, TEXT, EXTRAS)
def test_a_uri_that_airflow_writes_is_read_back_with_every_part(
    read: Reader,
    kind: str,
    host: str,
    port: int | None,
    login: str,
    password: str,
    schema: str,
    extra: dict[str, str],
) -> None:
    from airflow.sdk import Connection as AirflowConnection

    parts: dict[str, Any] = {
        "host": host,
        "login": login,
        "password": password,
        "schema": schema,
        "port": port,
    }
    uri = AirflowConnection(
        conn_id="ops_db", conn_type=kind.replace("-", "_"), extra=json.dumps(extra), **parts
    ).get_uri()
    assert ours(read(uri)) == as_airflow_reads_it(uri)
    connection = read(uri)
    assert (connection.login or "", connection.password or "", connection.port) == (login, password, port)
    assert (connection.host or "").lower() == host.lower()
    assert connection.schema == (schema or None)


@SAME
@given(TYPES, HOSTS, PORTS, TEXT, TEXT, TEXT, EXTRAS, st.sampled_from(["object", "text", "none"]))
def test_json_means_what_it_means_to_airflow(
    read: Reader,
    kind: str,
    host: str,
    port: int | None,
    login: str,
    password: str,
    schema: str,
    extra: dict[str, str],
    form: str,
) -> None:
    value: dict[str, Any] = {"conn_type": kind, "host": host, "port": port, "login": login}
    value |= {"password": password, "schema": schema}
    value["extra"] = {"object": extra, "text": json.dumps(extra), "none": None}[form]
    text = json.dumps(value)
    assert ours(read(text)) == as_airflow_reads_it(text)
    assert ours(read(f"\n {text} ")) == as_airflow_reads_it(text)


@pytest.mark.parametrize(
    "uri",
    [
        "http://https://store.example.com:9000/path",
        "http://login:pw@store.example.com",
        "aws://AKIA:se%2Fcret@/?endpoint_url=http%3A%2F%2F127.0.0.1%3A9000&region_name=us-east-1",
        "postgres://u:p@[::1]:5432/db",
        "postgres://u@%2Fvar%2Frun%2FPostgreSQL:5433/db",
        "postgresql://U:P@DB.Example.COM/Db?sslmode=require",
        "google-cloud-platform://?project=x",
        "postgres://u:@h",
        "postgres://:p@h",
    ],
)
def test_odd_uris_mean_what_they_mean_to_airflow(read: Reader, uri: str) -> None:
    assert ours(read(uri)) == as_airflow_reads_it(uri)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"conn_type": "postgres", "password": "hunter2"', "JSON with a mistake at line 1, column 48"),
        ('{"conn_type": "postgres", "user": "hunter2"}', "the unknown keys user; known are"),
        ('{"conn_type": "postgres", "password": ["hunter2"]}', "a value of password that is not text"),
        (
            '{"conn_type": "postgres", "extra": "[1]", "password": "hunter2"}',
            "`extra` that is not a JSON object",
        ),
        ('{"conn_type": "postgres", "port": "hunter2"}', "%2F %40 %3A"),
        ("postgres://u:hunter2/x@h/db", "%2F %40 %3A"),
        ("postgres://u:hunter2#x@h/db", "a URI with a #"),
        ("postgres://u:a://hunter2@h/db", "a URI with :// in the middle"),
        ("hunter2", "neither a URI nor JSON"),
    ],
)
def test_a_mistake_is_told_without_showing_the_value(read: Reader, text: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    shown = "".join(traceback.format_exception(caught.value)).replace(text, "")
    assert found in shown
    assert "AIRFLOW_CONN_OPS_DB" in shown
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["", "  "])
def test_a_missing_connection_says_what_to_set(read: Reader, text: str) -> None:
    with pytest.raises(MissingConnection, match="the variable AIRFLOW_CONN_OPS_DB") as caught:
        read(text)
    assert "airflow connections add ops_db" in caught.value.do
    assert (Path(__file__).parents[2] / "docs/connections.md").is_file()


def test_a_password_is_not_shown_by_repr() -> None:
    connection = Connection("c", "postgres", password="hunter2", extra={"sslpassword": "hunter3"})
    assert "hunter" not in repr(connection)


@given(TEXT, TEXT)
def test_a_dsn_carries_every_part_as_it_is(login: str, password: str) -> None:
    connection = Connection(
        "c", "postgres", "db1", 5433, login or None, password or None, "ops", {"sslmode": "verify-full"}
    )
    expected = {"host": "db1", "port": "5433", "user": login, "password": password, "dbname": "ops"}
    expected |= {"sslmode": "verify-full"}
    assert conninfo_to_dict(connection.postgres_dsn()) == {k: v for k, v in expected.items() if v}


def test_a_misspelt_extra_is_an_error_because_dropping_it_could_drop_the_encryption() -> None:
    connection = Connection("c", "postgres", extra={"ssl_mode": "verify-full"})
    with pytest.raises(ConfigError, match=r"Found: ssl_mode.*did you mean sslmode") as caught:
        connection.postgres_dsn()
    assert "verify-full" not in str(caught.value)


def test_extras_of_airflows_own_hook_are_left_out_and_iam_is_refused() -> None:
    assert Connection("c", "postgres", "h", extra={"cursor": "dictcursor"}).postgres_dsn() == "host=h"
    with pytest.raises(ConfigError, match="Found: iam"):
        Connection("c", "postgres", extra={"iam": True}).postgres_dsn()


def test_a_connection_of_another_type_is_no_database() -> None:
    with pytest.raises(ConfigError, match=r"Expected: type postgres. Found: type aws"):
        Connection("c", "aws").postgres_dsn()
