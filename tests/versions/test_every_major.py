"""A database of each supported major is backed up, restored as docs/restore-by-hand.md says, and equal.

Restored into a second server of the same major everything is equal, into the newest major the content is.
"""

import os
import re
import subprocess
from datetime import date
from pathlib import Path

import psycopg
import pytest
from backup_rig import PROJECT, Rig, run_sql
from majors import NEWEST, SUPPORTED, server_of
from restore_desk import context

from tidewatch.core.database import connect
from tidewatch.core.errors import SourceError, ToolMissing
from tidewatch.local.postgres import LocalPostgres
from tidewatch.local.seed.ops import seed_ops
from tidewatch.restore.choose import choose
from tidewatch.restore.database import load
from tidewatch.restore.fetch import fetch
from tidewatch.vault.compare import compare
from tidewatch.vault.facts import DatabaseFingerprint
from tidewatch.vault.fingerprint import fingerprint_database
from tidewatch.vault.pgtools import find_tools

PAGE = (PROJECT / "docs" / "restore-by-hand.md").read_text(encoding="utf-8")
LIBRARIES = (PROJECT / "tests" / "vault" / "libraries.sql").read_text(encoding="utf-8")
OLD_CLIENT = Path("/usr/lib/postgresql/15/bin")
needs_old_client = pytest.mark.skipif(
    not (OLD_CLIENT / "pg_dump").exists(),
    reason=f"no pg_dump in {OLD_CLIENT} (on Debian 12: apt-get install postgresql-client-15)",
)

EXTENSIONS = """
create extension citext;
create extension hstore;
create extension pg_trgm;
create schema tools;
create extension ltree schema tools;
create table extended (c citext primary key, h hstore, path tools.ltree);
insert into extended values ('AbC', 'a=>1, "b c"=>NULL', 'top.next'), ('Ж', '', ''), ('x', null, null);
create index on extended using gin ((c::text) gin_trgm_ops);
"""
# What each major brought, beside what tests/vault/everything.sql has.
NOVELTIES = {
    14: """
        create table infinite (n numeric, ranges nummultirange, own span_multirange, many datemultirange[]);
        insert into infinite values ('-Infinity', '{}', '{}', '{}'),
            ('Infinity', '{[1.0,2.00),(3,)}', '{[-0,1e300]}', '{"{[2026-01-01,)}",NULL}');
        alter table kinds alter column v set compression pglz;
        create function added(a integer, b integer) returns integer begin atomic select a + b; end;
        create procedure answered(out a integer) language plpgsql as $$ begin a := 1; end $$;
        """,
    15: """
        create unique index one_null on with_serial (v) nulls not distinct;
        create view invoked with (security_invoker) as select id from kinds;
        create publication whole for tables in schema "Odd ""schema"" 微博";
        """,
    16: """
        create table thick (body text storage external);
        create view about_json as select j is json object as is_object from kinds;
        """,
    17: """
        create table endless (i interval);
        insert into endless values ('infinity'), ('-infinity');
        grant maintain on kinds to public;
        create collation built_in (provider = builtin, locale = 'C.UTF-8');
        create table numbered (id bigint generated always as identity, at date) partition by range (at);
        create table numbered_2026 partition of numbered for values from ('2026-01-01') to ('2027-01-01');
        insert into numbered (at) values ('2026-11-22');
        """,
    18: """
        create table virtual (a integer, b integer generated always as (a * 2) virtual);
        insert into virtual values (1), (null);
        alter table virtual add constraint a_is_there not null a not valid;
        alter table virtual add constraint a_is_small check (a < 0) not enforced;
        """,
}


# -- making what is backed up ------------------------------------------------------------------------------


def everything(major: int) -> str:
    text = (PROJECT / "tests" / "vault" / "everything.sql").read_text(encoding="utf-8")
    if major < 14:
        text = _replaced(text, "ms int4multirange", "ms text")
    if major < 15:
        text = _replaced(text, "kinds (id, v) where (id > 7)", "kinds")
    return text + EXTENSIONS + "".join(sql for since, sql in NOVELTIES.items() if since <= major)


def _replaced(text: str, what: str, by: str) -> str:
    assert what in text
    return text.replace(what, by)


def sample_database(server: LocalPostgres, major: int) -> str:
    """The sample database as its owner makes it; DSN of the role that docs/sources.md says to make."""
    server.ensure_role("ops_owner", "owner", options="CREATEROLE")
    server.create_database("ops", owner="ops_owner")
    owner = server.dsn("ops", "ops_owner", "owner")
    run_sql(server.dsn("ops"), "grant all on schema public to ops_owner")
    seed_ops(owner, scale=0.02, today=date(2026, 11, 22))
    server.ensure_role("tidewatch_backup", "reader", options="BYPASSRLS")
    if major >= 14:
        run_sql(server.dsn(), "grant pg_read_all_data to tidewatch_backup")
    else:
        run_sql(
            owner,
            "grant usage on schema ops to tidewatch_backup",
            "grant select on all tables in schema ops to tidewatch_backup",
            "grant select on all sequences in schema ops to tidewatch_backup",
        )
    with psycopg.connect(owner) as conn:
        for (number,) in conn.execute("select oid from pg_largeobject_metadata").fetchall():
            conn.execute(f"grant select on large object {number} to tidewatch_backup".encode())
    return server.dsn("ops", "tidewatch_backup", "reader")


def everything_database(server: LocalPostgres, major: int) -> str:
    server.create_database("everything")
    run_sql(server.dsn("everything"), everything(major))
    return server.dsn("everything")


# -- backing up and restoring ------------------------------------------------------------------------------


def backed_up(rig: Rig, dsn: str, into: Path) -> DatabaseFingerprint:
    """Back up to three regions and fetch from the last of them: `dump.pgc` and `roles.sql` in `into`."""
    outcome = rig.back_up(rig.postgres_source("source", dsn))
    assert outcome.verdict == "sealed"
    region = rig.regions[-1]
    manifest = rig.manifest_in(region, outcome.backup_id)
    assert [copy.state for copy in manifest.copies] == ["verified"] * 3
    names = {"dump": "dump.pgc", "roles": "roles.sql"}
    assert {entry.role for entry in manifest.objects} == set(names)
    for entry in manifest.objects:
        (into / names[entry.role]).write_bytes(rig.plain(region, entry))
    assert manifest.database is not None
    return manifest.database


def restored(
    server: LocalPostgres, name: str, directory: Path, *, encoding: str = "UTF8"
) -> DatabaseFingerprint:
    """Restore with the commands of docs/restore-by-hand.md, as they stand there; the result's fingerprint."""
    server.drop_database(name)
    locale = "" if encoding == "UTF8" else "locale 'C' locale_provider libc"
    run_sql(
        server.dsn(),
        f"create database {name} template template0 encoding '{encoding}' {locale}",
    )
    messages = _shell(_command("roles.sql"), server, name, directory)
    errors = [line for line in messages.splitlines() if "ERROR" in line]
    assert all(re.search(r'role "\w+" already exists', line) for line in errors), messages
    _shell(_command("dump.pgc"), server, name, directory)
    return fingerprint(server.dsn(name))


def commanded(rig: Rig, server: LocalPostgres, directory: Path) -> DatabaseFingerprint:
    """The same through `tidewatch restore`'s engine."""
    server.drop_database("commanded")
    ctx = context(rig)
    chosen = choose(ctx, "source", region=ctx.regions[-1], at=None, backup_id=None)
    fetched = fetch(ctx, chosen, directory / "work")
    load(ctx, chosen, fetched, server.dsn("commanded"), workdir=directory / "work")
    return fingerprint(server.dsn("commanded"))


def _command(word: str) -> str:
    [found] = [b for b in re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL) if word in b]
    return str(found)


def _shell(command: str, server: LocalPostgres, database: str, directory: Path) -> str:
    environment = {
        "PATH": f"{server.bin_dir}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        "PGPASSWORD": server.password,
        "PGDATABASE": database,
        "LC_ALL": "C",
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def fingerprint(dsn: str) -> DatabaseFingerprint:
    with connect(dsn, application_name="tests", autocommit=True) as conn:
        conn.execute("begin isolation level repeatable read read only")
        return fingerprint_database(conn)


def assert_same_content(found: DatabaseFingerprint, backup: DatabaseFingerprint) -> None:
    comparison = compare(backup, found)
    assert comparison.same_content, comparison.sentence()
    assert found.content_sha256 == backup.content_sha256


def assert_same(found: DatabaseFingerprint, backup: DatabaseFingerprint) -> None:
    comparison = compare(backup, found)
    assert comparison.equal, comparison.sentence()
    assert comparison.remarks == ()
    assert comparison.tables > 0 and comparison.definitions > 0


# -- the tests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sample_database, everything_database])
def test_a_database_comes_back_equal_on_its_own_major_and_with_the_same_content_on_the_newest(
    make: object,
    major: int,
    rig: Rig,
    origin: LocalPostgres,
    elsewhere: LocalPostgres,
    newest: LocalPostgres,
    tmp_path: Path,
) -> None:
    assert callable(make)
    backup = backed_up(rig, make(origin, major), tmp_path)
    assert backup.server_version_num // 10000 == major
    assert backup.rows > 500
    again = restored(elsewhere, "again", tmp_path)
    assert again.server_version_num // 10000 == major
    assert_same(again, backup)
    if make is everything_database:
        assert_same(commanded(rig, elsewhere, tmp_path), backup)
    if major != NEWEST:
        assert_same(restored(newest, "upgraded", tmp_path), backup)
    if make is everything_database and major == SUPPORTED[0]:
        assert_same(commanded(rig, newest, tmp_path), backup)


def test_xml_and_icu_collations_come_back_equal(
    rig: Rig, oldest: LocalPostgres, stack_home: Path, tmp_path: Path
) -> None:
    """The newest server of these tests is built without libxml and ICU, the older ones have them."""
    oldest.create_database("libraries")
    run_sql(oldest.dsn("libraries"), LIBRARIES)
    backup = backed_up(rig, oldest.dsn("libraries"), tmp_path)
    assert backup.rows == 9
    assert_same(restored(oldest, "libraries_again", tmp_path), backup)
    with server_of(17, stack_home / "pg-17-libraries") as newer:
        assert_same(restored(newer, "upgraded", tmp_path), backup)


@pytest.mark.parametrize("encoding", ["EUC_CN", "LATIN1", "SQL_ASCII"])
def test_a_database_in_an_old_encoding_comes_back_equal_on_the_newest_major(
    encoding: str, rig: Rig, oldest: LocalPostgres, newest: LocalPostgres, tmp_path: Path
) -> None:
    text = "café" if encoding == "LATIN1" else "微博 观潮"
    name = encoding.lower()
    run_sql(oldest.dsn(), f"create database {name} template template0 encoding '{encoding}'")
    run_sql(
        f"{oldest.dsn(name)} client_encoding=UTF8",
        f'create table "{text}" ("{text}" text primary key, big bytea)',
        f"""insert into "{text}" values ('{text}', '\\xff00'), ('', null), (repeat('{text}', 20), '')""",
        f"""comment on table "{text}" is '{text}'""",
    )
    if encoding == "SQL_ASCII":  # it takes any bytes: these are GBK, and no UTF-8
        with psycopg.connect(oldest.dsn(name)) as conn:
            conn.execute(f'insert into "{text}" values ('.encode() + "'微博'".encode("gbk") + b")")
    else:
        run_sql(f"{oldest.dsn(name)} client_encoding=UTF8", f"""insert into "{text}" values ('more')""")
    backup = backed_up(rig, oldest.dsn(name), tmp_path)
    assert (backup.encoding, backup.rows) == (encoding, 4)
    assert_same_content(restored(newest, name, tmp_path, encoding=encoding), backup)
    assert_same_content(commanded(rig, newest, tmp_path), backup)


@needs_old_client
def test_a_client_of_the_servers_own_major_will_do(
    rig: Rig, newest: LocalPostgres, stack_home: Path, tmp_path: Path
) -> None:
    with server_of(15, stack_home / "pg-15-own-client") as server:
        rig.settings = rig.settings.model_copy(update={"pg_bin_dir": OLD_CLIENT})
        backup = backed_up(rig, everything_database(server, 15), tmp_path)
    assert_same_content(restored(newest, "from_old_client", tmp_path), backup)


@needs_old_client
def test_a_client_older_than_the_server_is_refused_and_the_needed_one_named(rig: Rig, database: str) -> None:
    run_sql(database, "create table posts (body text)")
    rig.settings = rig.settings.model_copy(update={"pg_bin_dir": OLD_CLIENT})
    with pytest.raises(ToolMissing) as caught:
        rig.back_up(rig.postgres_source("source", database))
    assert caught.value.expected == f"pg_dump, pg_dumpall and pg_restore of version {NEWEST} or newer"
    assert re.match(rf"15\.\S+ in {OLD_CLIENT}", caught.value.found)
    assert "postgresql-client-18" in caught.value.do
    assert_nothing_kept(rig)


def test_a_server_newer_than_every_client_here_is_refused_and_the_needed_client_named() -> None:
    with pytest.raises(ToolMissing, match=f"version {NEWEST + 1} or newer"):
        find_tools(None, NEWEST + 1)


def test_a_server_older_than_13_is_refused_with_its_version(rig: Rig, stack_home: Path) -> None:
    with server_of(12, stack_home / "pg-12") as server:
        run_sql(server.dsn(), "create table posts (body text)")
        with pytest.raises(SourceError, match="too old") as caught:
            rig.back_up(rig.postgres_source("source", server.dsn()))
    assert caught.value.expected == "PostgreSQL 13 or newer"
    assert caught.value.found == "version 12.22"
    assert not caught.value.retryable
    assert_nothing_kept(rig)


def assert_nothing_kept(rig: Rig) -> None:
    assert [rig.manifests(region) for region in rig.regions] == [[], [], []]
    assert rig.kinds()[-1] == "backup.failed"
