"""What can go wrong at the database: each ends with nothing committed and the cause in words."""

import os
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest
from backup_rig import Rig, run_sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tidewatch.core.database import connect
from tidewatch.core.errors import (
    SourceChanged,
    SourceEmpty,
    SourceError,
    SourcePermission,
    SourceUnreachable,
    ToolMissing,
)
from tidewatch.local.postgres import LocalPostgres
from tidewatch.vault.fingerprint import fingerprint_database
from tidewatch.vault.pgtools import explain, find_tools


def _nothing_visible(rig: Rig) -> None:
    assert all(rig.manifests(r) == [] for r in rig.regions)
    for region in rig.regions:
        uploads = region.store.client.list_multipart_uploads(Bucket=region.config.bucket)
        assert not uploads.get("Uploads"), f"{region.name} keeps parts of an upload"
    assert rig.kinds()[-1] == "backup.failed"


def _restore(rig: Rig, server: LocalPostgres, backup_id: str, into: str, tmp_path: Path) -> None:
    manifest = rig.get(backup_id).manifest
    dump = tmp_path / "dump.pgc"
    dump.write_bytes(rig.plain(rig.regions[2], manifest.objects[0]))
    subprocess.run(
        [server.bin_dir / "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={into}", dump], check=True
    )


def _content(dsn: str) -> str:
    with connect(dsn, application_name="tests", autocommit=True) as conn:
        conn.execute("begin isolation level repeatable read read only")
        return fingerprint_database(conn).content_sha256


def test_rows_written_during_the_backup_are_in_dump_and_fingerprint_or_in_neither(
    rig: Rig, database: str, pg_server: LocalPostgres, tmp_path: Path
) -> None:
    run_sql(
        database,
        "create table posts (id bigserial primary key, n int, body text)",
        "create table marks (post bigint)",
        "insert into posts (n, body) select n, repeat('评论', 50) from generate_series(1, 30000) n",
    )
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with psycopg.connect(database) as conn:
            while not stop.is_set():
                conn.execute("insert into posts (n, body) values (-1, 'during') returning id")
                conn.execute("insert into marks select max(id) from posts")
                conn.execute("update posts set n = n + 1 where id %% 997 = %s", (written % 997,))
                conn.execute("delete from posts where id = %s", (written * 7 + 1,))
                conn.commit()
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        outcome = rig.back_up(rig.postgres_source("ops", database))
    finally:
        stop.set()
        writer.join()
    assert written > 10
    manifest = rig.get(outcome.backup_id).manifest
    assert manifest.database is not None
    assert manifest.database.content_sha256 != _content(database)
    name = f"restored_{os.getpid()}"
    pg_server.create_database(name)
    try:
        target = pg_server.dsn(name)
        _restore(rig, pg_server, outcome.backup_id, target, tmp_path)
        assert _content(target) == manifest.database.content_sha256
    finally:
        pg_server.drop_database(name)


def test_an_empty_database_is_refused_unless_it_is_allowed_to_be_empty(rig: Rig, database: str) -> None:
    source = rig.postgres_source("ops", database)
    with pytest.raises(SourceEmpty, match="allow_empty"):
        rig.back_up(source)
    _nothing_visible(rig)
    rig.sources[0]["allow_empty"] = True
    assert rig.back_up(source, "run-2").rows == 0


def test_a_table_that_may_not_be_read_is_named_with_the_grant(
    rig: Rig, database: str, pg_server: LocalPostgres
) -> None:
    role = f"reader_{os.getpid()}"
    run_sql(
        database,
        "create table open_table (n int)",
        "create table secret_table (n int)",
        f"create role {role} login password 'p'",
        f"grant select on open_table to {role}",
    )
    fields = conninfo_to_dict(database)
    try:
        source = rig.postgres_source("ops", make_conninfo(**{**fields, "user": role, "password": "p"}))
        with pytest.raises(SourcePermission, match="secret_table") as caught:
            rig.back_up(source)
        assert "GRANT SELECT" in caught.value.do and "open_table" not in caught.value.do
        _nothing_visible(rig)
    finally:
        run_sql(database, f"drop owned by {role}", f"drop role {role}")


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"dbname": "no_such_db"}, {"port": "1"}])
def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    rig: Rig, database: str, wrong: dict[str, str]
) -> None:
    fields = {**conninfo_to_dict(database), **wrong}
    source = rig.postgres_source("ops", make_conninfo(**fields))
    with pytest.raises(SourceUnreachable) as caught:
        rig.back_up(source)
    assert str(fields["dbname"]) in str(caught.value)
    assert str(fields["password"]) not in str(caught.value).replace("no_such_db", "")
    _nothing_visible(rig)


def test_a_table_that_stays_locked_is_named_after_the_time_allowed(rig: Rig, database: str) -> None:
    run_sql(database, "create table posts (n int)", "insert into posts values (1)")
    source = rig.postgres_source("ops", database, lock_timeout_seconds=1)
    with psycopg.connect(database) as blocker:
        blocker.execute("lock table posts in access exclusive mode")
        with pytest.raises(SourceChanged, match="posts"):
            rig.back_up(source)
    _nothing_visible(rig)


def test_a_session_ended_by_the_server_fails_the_attempt_and_the_next_one_works(
    rig: Rig, database: str
) -> None:
    run_sql(database, "create table posts (n int)", "insert into posts values (1)")
    source = rig.postgres_source("ops", database)

    class Said(list[str]):
        def append(self, line: str) -> None:
            if "locked against" in line:
                run_sql(
                    database,
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name like 'tidewatch backup%' and pid <> pg_backend_pid() "
                    "and datname = current_database()",
                )

    rig.said = Said()
    with pytest.raises(SourceError) as caught:
        rig.back_up(source)
    assert caught.value.retryable
    _nothing_visible(rig)
    rig.said = []
    assert rig.back_up(source).verdict == "sealed"


def test_the_password_is_never_among_the_arguments_of_a_program(
    rig: Rig, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sql(database, "create table posts (n int)", "insert into posts values (1)")
    seen: list[list[str]] = []
    real = subprocess.Popen.__init__

    def spy(self: object, arguments: list[str], *rest: object, **options: object) -> None:
        seen.append([str(a) for a in arguments])
        real(self, arguments, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(subprocess.Popen, "__init__", spy)
    rig.back_up(rig.postgres_source("ops", database))
    password = str(conninfo_to_dict(database)["password"])
    assert any("pg_dump" in call[0] for call in seen)
    assert not [call for call in seen if any(password in argument for argument in call)]


def test_a_pg_dump_older_than_the_server_is_refused_by_name(tmp_path: Path) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.4'\n")
    old.chmod(0o755)
    for name in ("pg_dumpall", "pg_restore"):
        (tmp_path / name).write_text("")
    with pytest.raises(ToolMissing, match="18") as caught:
        find_tools(tmp_path, 18)
    assert "12.4" in caught.value.found and "postgresql-client-18" in caught.value.do
    assert find_tools(None, 13).major >= 13


@pytest.mark.parametrize(
    ("said", "kind", "word"),
    [
        (
            "pg_dump: error: query failed: ERROR:  permission denied for table secrets",
            SourcePermission,
            "GRANT SELECT ON secrets",
        ),
        (
            "pg_dump: error: query failed: ERROR:  permission denied for schema hr",
            SourcePermission,
            "SCHEMA hr",
        ),
        (
            'pg_dump: error: query would be affected by row-level security policy for table "t"',
            SourcePermission,
            "BYPASSRLS",
        ),
        ("pg_dump: error: ERROR:  canceling statement due to lock timeout", SourceChanged, "lock_timeout"),
        (
            "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout",
            SourceChanged,
            "lock_timeout",
        ),
        (
            "pg_dump: error: ERROR:  canceling statement due to conflict with recovery",
            SourceChanged,
            "standby",
        ),
        ("pg_dump: error: server closed the connection unexpectedly", SourceUnreachable, "log"),
        ("pg_dump: error: aborting because of server version mismatch", ToolMissing, "install"),
        ("pg_dump: error: something new", SourceError, "run again"),
    ],
)
def test_what_pg_dump_says_becomes_the_error_that_helps(
    said: str, kind: type[SourceError], word: str
) -> None:
    error = explain("pg_dump", 1, said)
    assert type(error) is kind and word in error.do


def test_rows_that_pg_dump_quotes_do_not_reach_the_error() -> None:
    said = (
        'pg_dump: error: Dumping the contents of table "contacts" failed: PQgetResult() failed.\n'
        "pg_dump: detail: Error message from server: ERROR:  invalid memory alloc request size\n"
        'CONTEXT:  COPY contacts, line 4: "Li Na, +86 139 0000 0000"\n'
        "pg_dump: detail: Command was: COPY public.contacts (name, phone) TO stdout;"
    )
    assert "139" not in str(explain("pg_dump", 1, said))
