"""Fingerprints of real databases on a real server."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tidewatch.core.database import connect
from tidewatch.core.errors import SourceChanged, SourceError, SourcePermission
from tidewatch.local.postgres import LocalPostgres
from tidewatch.vault.facts import DatabaseFingerprint, TableFingerprint
from tidewatch.vault.fingerprint import fingerprint_database, lock_relations, with_sequences_after

EVERYTHING = (Path(__file__).parent / "everything.sql").read_text(encoding="utf-8")


@contextmanager
def snapshot(dsn: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with connect(dsn, application_name="tests", autocommit=True) as conn:
        conn.execute("begin isolation level repeatable read read only")
        yield conn


def fingerprint(dsn: str) -> DatabaseFingerprint:
    with snapshot(dsn) as conn:
        return fingerprint_database(conn, lock_timeout_seconds=5)


def run(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def table(found: DatabaseFingerprint, label: str) -> TableFingerprint:
    return next(t for t in found.tables if t.label == label)


@pytest.fixture
def everything(database: str) -> str:
    run(database, EVERYTHING)
    return database


@pytest.fixture
def other(pg_server: LocalPostgres) -> Iterator[str]:
    """A second empty database."""
    name = "vault_other"
    run(pg_server.dsn(), f"create database {name} template template0")
    yield pg_server.dsn(name)
    pg_server.drop_database(name)


def dump_and_restore(server: LocalPostgres, source: str, target: str) -> None:
    tool = Path(server.bin_dir)
    dump = subprocess.run(
        [tool / "pg_dump", "-Fc", "-Z0", "-d", source], capture_output=True, check=True, timeout=60
    ).stdout
    restored = subprocess.run(
        [tool / "pg_restore", "-d", target], input=dump, capture_output=True, check=False, timeout=60
    )
    assert restored.returncode == 0, restored.stderr.decode()


def test_a_restored_dump_of_everything_has_the_same_fingerprint(
    everything: str, other: str, pg_server: LocalPostgres
) -> None:
    dump_and_restore(pg_server, everything, other)
    before, after = fingerprint(everything), fingerprint(other)
    assert after.tables == before.tables
    for kind in before.schema_objects:
        assert after.schema_objects[kind].objects == before.schema_objects[kind].objects, kind
    assert after.grants.objects == before.grants.objects
    assert after.model_copy(update={"database": before.database}) == before
