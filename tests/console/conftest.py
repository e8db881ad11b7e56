"""Warehouses with 100 days of history: made once, then copied."""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "backup"))

import console_history
import model_history
import psycopg
import pytest
from console_house import House

from tidewatch.core.database import connect
from tidewatch.local.postgres import LocalPostgres


@pytest.fixture(scope="session")
def _history(pg_server: LocalPostgres, _migrated: str) -> str:
    name = "console_history"
    _copy(pg_server, _migrated, name)
    with connect(pg_server.dsn(name), application_name="tests") as conn:
        console_history.write(conn, days=100, records=1500)
    return name


@pytest.fixture(scope="session")
def _model_history(pg_server: LocalPostgres, _migrated: str) -> str:
    name = "console_model_history"
    _copy(pg_server, _migrated, name)
    with connect(pg_server.dsn(name), application_name="tests") as conn:
        model_history.write(conn, console_history.NOW)
    return name


@pytest.fixture(scope="module")
def house(
    pg_server: LocalPostgres, _history: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A console that the tests of a module share: they read, or change only what is their own."""
    yield from _house(pg_server, _history, tmp_path_factory.mktemp("console"))


@pytest.fixture
def own_house(pg_server: LocalPostgres, _history: str, tmp_path: Path) -> Iterator[House]:
    """A console for one test."""
    yield from _house(pg_server, _history, tmp_path)


@pytest.fixture(scope="module")
def model_house(
    pg_server: LocalPostgres, _model_history: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A console with a model and its past and nothing else, which the tests of a module share."""
    yield from _house(pg_server, _model_history, tmp_path_factory.mktemp("console"))


@pytest.fixture
def own_model_house(pg_server: LocalPostgres, _model_history: str, tmp_path: Path) -> Iterator[House]:
    """The same for one test."""
    yield from _house(pg_server, _model_history, tmp_path)


def _house(server: LocalPostgres, template: str, home: Path) -> Iterator[House]:
    name = f"t_{secrets.token_hex(6)}"
    _copy(server, template, name)
    yield House(server.dsn(name), home)
    server.drop_database(name)


def _copy(server: LocalPostgres, template: str, name: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
