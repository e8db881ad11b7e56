"""Tables that are rewritten, emptied, altered or dropped while a backup runs."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from backup_rig import MIB, Rig, run_sql
from restoring import compared, fingerprint

from tidewatch.backup.archive import Archive
from tidewatch.core.errors import SourceChanged
from tidewatch.local.postgres import LocalPostgres

CHANGES = {
    "posts": "vacuum full posts",
    "emptied": "truncate emptied",
    "altered": "alter table altered add column more uuid default gen_random_uuid()",
    "dropped": "drop table dropped",
    "clustered": "cluster clustered using clustered_pkey",
    "counted": "refresh materialized view counted",
    "events_2026": "alter table events detach partition events_2026",
}


@pytest.fixture
def tables(database: str) -> str:
    run_sql(
        database,
        "create table posts (body text)",
        "insert into posts select repeat(md5(n::text), 64) from generate_series(1, 8000) n",
        *(
            f"create table {name} (id integer primary key); insert into {name} values (1), (2)"
            for name in ("emptied", "altered", "dropped", "clustered")
        ),
        "create materialized view counted as select count(*) from clustered",
        "create table events (at date) partition by range (at)",
        "create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01')",
        "insert into events values ('2026-11-22')",
    )
    return database


class Waiting:
    """Statements that wait for a lock, each in a session and thread of its own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool = ThreadPoolExecutor(len(CHANGES))
        self.started: list[Future[None]] = []

    def start(self, *statements: str) -> None:
        """Returns when each of them waits."""
        self.started += [self._pool.submit(run_sql, self._dsn, s) for s in statements]
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            while True:
                row = conn.execute(
                    "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock' and "
                    "database = (select oid from pg_database where datname = current_database())"
                ).fetchone()
                if row == (len(self.started),):
                    return
                failed = [f for f in self.started if f.done()]
                assert not failed, "it did not have to wait"
                threading.Event().wait(0.02)

    def end(self) -> None:
        """Wait until each has done its work."""
        for each in self.started:
            each.result(timeout=60)
        self._pool.shutdown()


def on_first(monkeypatch: pytest.MonkeyPatch, size: int, action: Callable[[], object]) -> None:
    """Call `action` once `size` bytes of the dump have been read."""
    real, seen = Archive.read, 0

    def read(self: Archive, wanted: int, /) -> bytes:
        nonlocal seen
        data = real(self, wanted)
        seen, before = seen + len(data), seen
        if before < size <= seen:
            action()
        return data

    monkeypatch.setattr(Archive, "read", read)


def test_what_comes_after_the_locks_waits_and_the_backup_has_what_was_there_before(
    rig: Rig, tables: str, pg_server: LocalPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(tables)
    waiting = Waiting(tables)
    on_first(monkeypatch, MIB, lambda: waiting.start(*CHANGES.values()))
    outcome = rig.back_up(rig.postgres_source("ops", tables))
    waiting.end()
    assert outcome.verdict == "sealed"
    backup = rig.get(outcome.backup_id).manifest.database
    assert backup is not None
    assert backup.content_sha256 == before.content_sha256
    assert fingerprint(tables).content_sha256 != before.content_sha256, "then they were let through"
    assert compared(rig, pg_server, outcome.backup_id, tmp_path).equal


def test_who_comes_between_our_locks_and_those_of_pg_dump_is_named_and_the_next_run_works(
    rig: Rig, tables: str
) -> None:
    """pg_dump then waits behind somebody who waits for us."""
    source = rig.postgres_source("ops", tables, lock_timeout_seconds=1)
    waiting = Waiting(tables)

    class Said(list[str]):
        def append(self, line: str) -> None:
            if "locked against" in line:
                waiting.start(CHANGES["altered"])

    rig.said = Said()
    with pytest.raises(SourceChanged) as caught:
        rig.back_up(source)
    waiting.end()
    assert caught.value.retryable
    assert "public.altered by process " in caught.value.found
    assert "lock_timeout_seconds" in caught.value.do
    assert [rig.manifests(region) for region in rig.regions] == [[], [], []]
    assert rig.kinds()[-1] == "backup.failed"
    rig.said = []
    outcome = rig.back_up(source)
    assert outcome.verdict == "sealed"
    backup = rig.get(outcome.backup_id).manifest.database
    assert backup is not None
    altered = next(t for t in backup.tables if t.name == "altered")
    assert altered.columns == ["id", "more"]
