"""Connections in a file: the one that Airflow's LocalFilesystemBackend reads too."""

import json
from pathlib import Path

import pytest

from tidewatch.core.connections import from_environment
from tidewatch.core.errors import ConfigError, MissingConnection


@pytest.fixture
def connections_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "connections.json"
    monkeypatch.setenv("TIDEWATCH_CONNECTIONS_FILE", str(path))
    return path


def test_a_connection_is_found_in_the_file_as_an_object_and_as_a_uri(connections_file: Path) -> None:
    extra = {"endpoint_url": "http://region:8333"}
    connections_file.write_text(
        json.dumps(
            {
                "object": {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra},
                "uri": "postgres://reader:p%40ss@db:5433/ops",
            }
        )
    )
    assert from_environment("object").extra["endpoint_url"] == "http://region:8333"
    uri = from_environment("uri")
    assert (uri.login, uri.password, uri.host, uri.port, uri.schema) == ("reader", "p@ss", "db", 5433, "ops")


def test_a_variable_goes_before_the_file(connections_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections_file.write_text(json.dumps({"db": "postgres://file/x"}))
    monkeypatch.setenv("AIRFLOW_CONN_DB", "postgres://variable/x")
    assert from_environment("db").host == "variable"


def test_what_neither_has_is_missing(connections_file: Path) -> None:
    connections_file.write_text("{}")
    with pytest.raises(MissingConnection):
        from_environment("db")


@pytest.mark.parametrize("content", ['{"db": "postgres://u:hunter2@h/d"', '["hunter2"]', None])
def test_a_broken_file_is_named_without_its_content(connections_file: Path, content: str | None) -> None:
    if content is not None:
        connections_file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        from_environment("db")
    assert str(connections_file) in str(caught.value)
    assert "hunter2" not in str(caught.value)
