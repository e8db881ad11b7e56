"""A streaming standby as the source: a backup of a calm one is as good as one of the primary, and one that is
told to remove what is being read ends the backup in words."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from backup_rig import Rig, run_sql
from restoring import compared, fingerprint

from tidewatch.core import pgbinaries
from tidewatch.core.errors import SourceChanged, SourceError
from tidewatch.local.postgres import LocalPostgres
from tidewatch.vault.compare import compare

REPLICATED = {"wal_level": "replica", "max_wal_senders": "4"}


@pytest.fixture(scope="module")
def primary(stack_home: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(stack_home / "pg-primary", fsync=False, settings=REPLICATED)
    server.start()
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def standby(primary: LocalPostgres, stack_home: Path) -> Iterator[LocalPostgres]:
    """Made by pg_basebackup; it gives no query time that stands in the way of replaying."""
    home = stack_home / "pg-standby"
    data = home / "data"
    home.mkdir(mode=0o711)
    shutil.copy(primary.home / "password", home / "password")
    subprocess.run(
        [
            primary.bin_dir / "pg_basebackup",
            f"--dbname={primary.dsn()}",
            f"--pgdata={data}",
            "--checkpoint=fast",
            "--wal-method=stream",
            "--write-recovery-conf",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
    )
    identity = pgbinaries.other_identity()
    for path in [data, *data.rglob("*")] if identity else []:
        os.chown(path, identity.uid, identity.gid, follow_symlinks=False)
    settings = REPLICATED | {"max_standby_streaming_delay": "0", "hot_standby_feedback": "off"}
    server = LocalPostgres(home, fsync=False, settings=settings)
    server.start()
    yield server
    server.destroy()


@pytest.fixture
def name(primary: LocalPostgres, standby: LocalPostgres) -> Iterator[str]:
    """A database on both."""
    run_sql(
        primary.dsn(),
        "create database shop template template0",
    )
    run_sql(
        primary.dsn("shop"),
        "create table orders (id bigserial primary key, body text)",
        "insert into orders (body) select repeat('x', 100) from generate_series(1, 2000)",
        "create materialized view counted as select count(*) from orders",
        "create table customers (name text)",
        "insert into customers values ('a')",
        "select lo_from_bytea(0, 'picture')",
    )
    replayed(primary, standby)
    yield "shop"
    primary.drop_database("shop")
    replayed(primary, standby)


def replayed(primary: LocalPostgres, standby: LocalPostgres) -> None:
    """Wait until the standby has what the primary has."""
    with (
        psycopg.connect(primary.dsn(), autocommit=True) as one,
        psycopg.connect(standby.dsn(), autocommit=True) as two,
    ):
        row = one.execute("select pg_current_wal_lsn()").fetchone()
        assert row is not None
        while two.execute("select pg_last_wal_replay_lsn() >= %s", row).fetchone() != (True,):
            threading.Event().wait(0.02)


def test_a_calm_standby_is_backed_up_and_equals_its_primary(
    rig: Rig, primary: LocalPostgres, standby: LocalPostgres, name: str, tmp_path: Path
) -> None:
    outcome = rig.back_up(rig.postgres_source("shop", standby.dsn(name)))
    assert outcome.verdict == "sealed"
    assert compared(rig, primary, outcome.backup_id, tmp_path).sentence().startswith("equal: 3 tables")
    backup = rig.get(outcome.backup_id).manifest.database
    assert backup is not None
    primarys = fingerprint(primary.dsn(name))
    assert backup.content_sha256 == primarys.content_sha256
    # Sequences are logged 32 values ahead: those of a standby may have skipped some, never given one twice.
    assert {d.kind for d in compare(primarys, backup).differences} <= {"sequence"}
    assert 2000 <= backup.sequences[0].last_value <= 2032


@pytest.mark.parametrize(
    "change",
    [
        ("delete from orders", "vacuum orders"),
        ("drop table customers",),
    ],
)
def test_a_standby_that_must_remove_what_is_read_ends_the_backup_and_the_next_one_works(
    rig: Rig, primary: LocalPostgres, standby: LocalPostgres, name: str, change: tuple[str, ...]
) -> None:
    source = rig.postgres_source("shop", standby.dsn(name))

    class Said(list[str]):
        def append(self, line: str) -> None:
            if "locked against" in line:
                run_sql(primary.dsn(name), *change)
                replayed(primary, standby)

    rig.said = Said()
    with pytest.raises(SourceChanged) as caught:
        rig.back_up(source)
    assert caught.value.retryable
    assert "recovery" in caught.value.found
    assert "max_standby_streaming_delay" in caught.value.do
    assert [rig.manifests(region) for region in rig.regions] == [[], [], []]
    assert rig.kinds()[-1] == "backup.failed"
    rig.said = []
    assert rig.back_up(source).verdict == "sealed"


def test_unlogged_tables_are_named_since_a_standby_does_not_have_their_rows(
    rig: Rig, primary: LocalPostgres, standby: LocalPostgres, name: str
) -> None:
    run_sql(primary.dsn(name), 'create unlogged table "Odd cache" (a integer)')
    replayed(primary, standby)
    source = rig.postgres_source("shop", standby.dsn(name))
    with pytest.raises(SourceError, match="standby") as caught:
        rig.back_up(source)
    assert "public.Odd cache" in caught.value.found
    assert 'ALTER TABLE "public"."Odd cache" SET LOGGED' in caught.value.do
    run_sql(primary.dsn(name), 'alter table "Odd cache" set logged')
    replayed(primary, standby)
    assert rig.back_up(source).verdict == "sealed"
