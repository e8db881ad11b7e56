"""Databases that are large in one way: ten thousand tables, rows of 100 MB."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from backup_rig import MIB, Rig, run_sql
from restoring import compared

from tidewatch.core.errors import SourceError
from tidewatch.local.postgres import LocalPostgres
from tidewatch.vault.pgtools import explain


@pytest.fixture
def server(stack_home: Path, request: pytest.FixtureRequest) -> Iterator[LocalPostgres]:
    """A server of the test's own, with a lock table of the size that it asks for."""
    home = stack_home / f"pg-great-{secrets.token_hex(4)}"
    settings = {"max_locks_per_transaction": str(request.param), "shared_buffers": "128MB"}
    server = LocalPostgres(home, fsync=False, max_connections=20, settings=settings)
    server.start()
    yield server
    server.kill()
    server.destroy()


def tables(dsn: str, count: int, each: int) -> None:
    """`count` tables with a row each, `each` of them in a transaction."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        for start in range(0, count, each):
            conn.execute(
                f"do $$ begin for i in {start}..{start + each - 1} loop "
                "execute format('create table t_%s (id integer)', i); "
                "execute format('insert into t_%s values (%s)', i, i); end loop; end $$".encode()
            )


@pytest.mark.parametrize("server", [1024], indirect=True)
def test_ten_thousand_tables_come_back_equal(rig: Rig, server: LocalPostgres, tmp_path: Path) -> None:
    server.create_database("many")
    tables(server.dsn("many"), 10_000, each=2_000)
    outcome = rig.back_up(rig.postgres_source("many", server.dsn("many")))
    assert outcome.verdict == "sealed"
    backup = rig.get(outcome.backup_id).manifest.database
    assert backup is not None
    assert (len(backup.tables), backup.rows) == (10_000, 10_000)
    assert len({t.sha256 for t in backup.tables}) == 10_000, "each table has a row of its own"
    assert compared(rig, server, outcome.backup_id, tmp_path).sentence().startswith("equal: 10000 tables")


@pytest.mark.parametrize("server", [10], indirect=True)
def test_more_tables_than_the_server_has_locks_for_is_said_with_the_setting(
    rig: Rig, server: LocalPostgres
) -> None:
    server.create_database("many")
    tables(server.dsn("many"), 2_000, each=50)
    with pytest.raises(SourceError, match="shared memory") as caught:
        rig.back_up(rig.postgres_source("many", server.dsn("many")))
    assert "max_locks_per_transaction" in caught.value.do
    assert [rig.manifests(region) for region in rig.regions] == [[], [], []]


def test_the_same_said_by_pg_dump_has_the_same_answer() -> None:
    said = "pg_dump: error: query failed: ERROR:  out of shared memory\nHINT:  You might need to increase"
    assert "max_locks_per_transaction" in explain("pg_dump", 1, said).do


def test_rows_of_a_hundred_megabytes_come_back_equal(
    rig: Rig, database: str, pg_server: LocalPostgres, tmp_path: Path
) -> None:
    run_sql(
        database,
        "create table pictures (id integer, body text, raw bytea)",
        "alter table pictures alter body set storage external, alter raw set storage external",
        f"insert into pictures (id, body) select 1, repeat(md5('1') || '观潮', {100 * MIB // 38})",
        f"insert into pictures (id, raw) select 2, decode(repeat(md5('2'), {50 * MIB // 16}), 'hex')",
    )
    outcome = rig.back_up(rig.postgres_source("ops", database))
    assert outcome.verdict == "sealed"
    assert rig.get(outcome.backup_id).manifest.totals.plain_size > 200 * 10**6
    assert compared(rig, pg_server, outcome.backup_id, tmp_path).sentence().startswith("equal: 1 tables")
