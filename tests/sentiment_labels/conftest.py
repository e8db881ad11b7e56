"""A warehouse with a label store in it, and words to put there."""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import psycopg
import pytest
from label_desk import Desk

from tidewatch.core.database import connect
from tidewatch.local.postgres import LocalPostgres

_TABLES = "texts, posts, labels, imports, deletions, scores, data_versions"


@pytest.fixture(scope="module")
def label_store(pg_server: LocalPostgres, _migrated: str) -> Iterator[str]:
    """DSN of a migrated database: making one takes longer than most of these tests."""
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated}".encode())
    yield pg_server.dsn(name)
    pg_server.drop_database(name)


@pytest.fixture
def desk(label_store: str) -> Iterator[Desk]:
    """An empty store; its ledger goes on where the test before has left it."""
    with psycopg.connect(label_store, autocommit=True) as cleaner:
        cleaner.execute("set session_replication_role = replica")  # the tables refuse it otherwise
        for table in _TABLES.split(", "):
            cleaner.execute(f"truncate sentiment.{table} restart identity cascade".encode())
    with connect(label_store, application_name="tests") as conn:
        yield Desk(conn, label_store)
