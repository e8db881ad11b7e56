"""A connection is the same, whether Airflow reads it or the command line does without Airflow."""

import json
from pathlib import Path

import pytest

from tidewatch.core.connections import from_environment
from tidewatch.core.errors import MissingConnection
from tidewatch.orchestration.connections import from_airflow

SECRETS = ("p@ss/w:rd#1", "AKSECRET")

JSON_FORMS = {
    "postgres": {
        "conn_type": "postgres",
        "host": "db1.example.com",
        "port": 5432,
        "login": "tidewatch_backup",
        "password": SECRETS[0],
        "schema": "ops",
        "extra": {"sslmode": "verify-full"},
    },
    "extra as text": {"conn_type": "postgres", "host": "db", "extra": '{"sslmode": "require"}'},
    "port as text": {"conn_type": "postgres", "host": "db", "port": "6432"},
    "the other name of postgres": {"conn_type": "postgresql", "host": "db"},
    "little": {"conn_type": "postgres", "host": "/var/run/postgresql"},
    "region": {
        "conn_type": "aws",
        "login": "AKID",
        "password": SECRETS[1],
        "extra": {"endpoint_url": "http://127.0.0.1:9000", "verify": False},
    },
}
URI_FORMS = {
    "everything": "postgres://tidewatch_backup:p%40ss%2Fw%3Ard%231@db1.example.com:5432/ops?sslmode=verify-full",
    "the other name": "postgresql://u:p@db/ops",
    "capital letters": "Postgres://u:p@DB.Example.com/Ops",
    "socket": "postgres://u:p@%2Fvar%2Frun%2Fpostgresql/ops",
    "no login": "postgres://db:5433",
    "protocol in front of the host": "aws://https://AKID:AKSECRET@s3.example.com:9000/",
    "region": "aws://AKID:AKSECRET@/?endpoint_url=http%3A%2F%2F127.0.0.1%3A9000&region_name=cn-east-1",
    "extra as JSON": "aws://AKID:AKSECRET@/?__extra__=%7B%22endpoint_url%22%3A%20%22http%3A%2F%2Fh%22%7D",
}


@pytest.mark.parametrize(
    "definition",
    [*(json.dumps(v) for v in JSON_FORMS.values()), *URI_FORMS.values()],
    ids=[*(f"json {k}" for k in JSON_FORMS), *(f"uri {k}" for k in URI_FORMS)],
)
def test_airflow_and_the_command_line_read_the_same_fields(
    definition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOME_PLACE", definition)
    ours, airflows = from_environment("some_place"), from_airflow("some_place")
    # An empty text and none at all are the same to whoever uses a connection.
    assert {k: v or None for k, v in vars(airflows).items()} == {k: v or None for k, v in vars(ours).items()}


def test_a_connection_that_nobody_defined_is_missing_in_both_with_the_same_words() -> None:
    with pytest.raises(MissingConnection) as from_air:
        from_airflow("no_such_place")
    with pytest.raises(MissingConnection) as from_variables:
        from_environment("no_such_place")
    assert str(from_air.value) == str(from_variables.value)
    assert "AIRFLOW_CONN_NO_SUCH_PLACE" in str(from_air.value)
    assert from_air.value.__suppress_context__, "Airflow's own text is not shown beside ours"


@pytest.mark.parametrize("definition", [json.dumps(JSON_FORMS["postgres"]), URI_FORMS["everything"]])
def test_a_connection_from_airflow_shows_no_secret(definition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOME_PLACE", definition)
    connection = from_airflow("some_place")
    assert connection.password == SECRETS[0]
    assert SECRETS[0] not in repr(connection) and "verify-full" not in repr(connection)
    assert "db1.example.com" in repr(connection)


def test_the_connections_of_a_real_region_open_it_through_airflow(
    monkeypatch: pytest.MonkeyPatch, three_regions: list[object]
) -> None:
    from tidewatch.core.regions import Region, RegionsFile, open_regions

    (region, *_) = three_regions
    assert isinstance(region, Region)
    extra = {"endpoint_url": region.address.endpoint_url, "region_name": region.address.region_name}
    monkeypatch.setenv(
        f"AIRFLOW_CONN_{region.config.connection.upper()}",
        json.dumps(
            {
                "conn_type": "aws",
                "login": region.address.access_key,
                "password": region.address.secret_key,
                "extra": extra,
            }
        ),
    )
    file = RegionsFile(policy_id="T", policy_version="1", residency={}, regions=[region.config])
    (opened,) = open_regions(file, from_airflow)
    assert opened.store.describe().object_lock


def test_the_file_of_airflows_own_backend_is_read_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.secrets.local_filesystem import LocalFilesystemBackend

    file = tmp_path / "connections.json"
    file.write_text(
        json.dumps({"as_object": JSON_FORMS["postgres"], "as_uri": URI_FORMS["everything"]}), encoding="utf-8"
    )
    monkeypatch.setenv("TIDEWATCH_CONNECTIONS_FILE", str(file))
    backend = LocalFilesystemBackend(connections_file_path=str(file))
    for conn_id in ("as_object", "as_uri"):
        ours, airflows = from_environment(conn_id), backend.get_connection(conn_id)
        assert airflows is not None
        for name in ("conn_type", "host", "port", "login", "password", "schema"):
            assert getattr(ours, name) == getattr(airflows, name), name
        assert ours.extra == airflows.extra_dejson
