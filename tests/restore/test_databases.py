"""Databases back from their backups: whole, in part, from many pieces at once, or not at all."""

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from backup_rig import Rig, run_sql
from drill_rig import Shop
from restore_desk import compared, context, databases, forked, free_name, newest

from tidewatch.core.errors import Busy, ConfigError, TargetError, TidewatchError
from tidewatch.local.postgres import LocalPostgres
from tidewatch.restore import pgrestore, rows, spool
from tidewatch.restore.choose import Chosen
from tidewatch.restore.context import RestoreContext
from tidewatch.restore.database import Loaded, load
from tidewatch.restore.fetch import Fetched, fetch
from tidewatch.restore.target_database import Target, held, look, publish

EVERYTHING = Path(__file__).with_name("world.sql").read_text(encoding="utf-8")


@dataclass
class World:
    """A backup of a database with everything in it, and the server to restore to."""

    ctx: RestoreContext
    chosen: Chosen
    fetched: Fetched
    server: LocalPostgres
    workdir: Path
    reader: str
    source: str

    def load(self, dsn: str, **more: Any) -> Loaded:
        given: dict[str, Any] = {"workdir": self.workdir, **more}
        return load(self.ctx, given.pop("chosen", self.chosen), self.fetched, dsn, **given)

    def with_database(self, **facts: Any) -> Chosen:
        """The same backup with other facts in its manifest."""
        known = self.chosen.manifest.database
        assert known is not None
        manifest = self.chosen.manifest.model_copy(update={"database": known.model_copy(update=facts)})
        return replace(self.chosen, manifest=manifest)


@pytest.fixture(scope="module")
def world(
    pg_server: LocalPostgres,
    shop: Shop,
    tmp_path_factory: pytest.TempPathFactory,
    keys: Any,
) -> Iterator[World]:
    name, reader = f"t_{secrets.token_hex(6)}", f"reader_{secrets.token_hex(4)}"
    home = tmp_path_factory.mktemp("world")
    rig = Rig(home, shop.rig.warehouse, shop.rig.regions, keys)
    run_sql(
        pg_server.dsn(),
        f"create role {reader} noinherit connection limit 3",
        f"create database {name} template template0",
        f"alter database {name} set work_mem to '5MB'",
        f"comment on database {name} is 'it''s mine'",
        f"revoke connect on database {name} from public",
    )
    run_sql(pg_server.dsn(name), EVERYTHING.format(reader=reader))
    source = f"world_{secrets.token_hex(3)}"
    rig.back_up(rig.postgres_source(source, pg_server.dsn(name)))
    ctx = context(rig)
    chosen = newest(ctx, source)
    yield World(ctx, chosen, fetch(ctx, chosen, home / "work"), pg_server, home / "work", reader, name)
    pg_server.drop_database(name)
    run_sql(pg_server.dsn(), f"drop role if exists {reader}")


@pytest.fixture
def target(pg_server: LocalPostgres) -> Iterator[str]:
    with free_name(pg_server) as dsn:
        yield dsn


def one(dsn: str, statement: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute(statement.encode()).fetchone()
    return row[0] if row else None


@pytest.mark.parametrize("batch", [1, 50_000, 32 << 20])
def test_everything_is_as_in_the_backup_however_the_rows_are_cut(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(rows, "_BATCH", batch)
    monkeypatch.setattr(rows, "_SHARE", 4 if batch == 50_000 else 1 << 30)
    monkeypatch.setattr(spool, "_SEGMENT", 20_000)
    loaded = world.load(target, jobs=3)
    found = compared(world.chosen, target)
    assert found.equal, found.sentence()
    assert set(loaded.seconds) == {"decrypt", "load"} and loaded.remarks == ()
    name = Target(target).name
    assert one(target, "show work_mem") == "5MB"
    assert one(target, "select shobj_description(oid, 'pg_database') from pg_database "
               "where datname = current_database()") == "it's mine"  # fmt: skip
    assert not one(target, f"select has_database_privilege('{world.reader}', '{name}', 'connect')")
    assert sorted(world.workdir.iterdir()) == sorted(o.path for o in world.fetched.objects.values())


def test_an_empty_database_is_taken_over_and_one_with_content_is_not(world: World, target: str) -> None:
    name = Target(target).name
    run_sql(world.server.dsn(), f"create database {name}")
    world.load(target)
    assert one(target, "select count(*) from plain") == 2000
    run_sql(target, "update plain set t = 'mine' where id = 1")
    before = databases(world.server)
    with pytest.raises(TargetError, match=r"is not empty.*relation public\.|function public\."):
        world.load(target)
    assert databases(world.server) == before
    assert one(target, "select t from plain where id = 1") == "mine"
    loaded = world.load(target, replace=True)
    assert one(target, "select count(*) from plain where t = 'mine'") == 0
    assert loaded.kept is not None and loaded.kept.startswith(f"{name}__before_")
    assert one(world.server.dsn(loaded.kept), "select t from plain where id = 1") == "mine"


def test_one_table_comes_with_what_it_needs_and_nothing_else(world: World, target: str) -> None:
    world.load(target, tables=["public.plain", "public.days"])
    names = one(
        target,
        "select array_agg(relname::text order by 1) from pg_class "
        "where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')",
    )
    assert names == ["days", "days_1", "days_2", "plain"]
    differing = {
        d.name
        for d in compared(world.chosen, target).differences
        if d.name.startswith(("public.plain", "public.days"))
    }
    assert differing == set(), "rows, index, check, default, trigger, comment and grants are as they were"
    assert one(target, "insert into plain (n) values (1) returning id") == 2001, "its sequence goes on"


def test_a_table_whose_neighbour_does_not_come_along_has_no_key_to_it(world: World, target: str) -> None:
    world.load(target, tables=["public.child", "Größe 'x'.T \"q\" x"])
    assert one(target, "select count(*) from child") == 500
    assert one(target, "select count(*) from pg_constraint where contype = 'f'") == 0
    assert one(target, "select relrowsecurity from pg_class where relname = 'child'")
    assert one(target, 'select count(*) from "Größe \'x\'"."T ""q"" x"') == 3000
    with pytest.raises(TidewatchError, match=r"no table public\.nothing"):
        world.load(world.server.dsn(Target(target).name + "_2"), tables=["public.nothing"])


def test_roles_that_are_missing_are_made_and_those_that_exist_are_left(world: World, target: str) -> None:
    admin = world.server.dsn()
    run_sql(admin, f"alter role {world.reader} connection limit 9")
    assert world.load(target).roles == ()
    assert one(admin, f"select rolconnlimit from pg_roles where rolname = '{world.reader}'") == 9
    run_sql(world.server.dsn(world.source), f"drop owned by {world.reader}")
    run_sql(target, f"drop owned by {world.reader}")
    run_sql(admin, f"drop role {world.reader}")
    other = world.server.dsn(Target(target).name + "_2")
    assert world.load(other).roles == (world.reader,)
    assert one(admin, f"select rolconnlimit from pg_roles where rolname = '{world.reader}'") == 3
    assert one(other, f"select has_table_privilege('{world.reader}', 'plain', 'select')")


def refused(world: World, target: str, error: type[TidewatchError], match: str, **more: Any) -> str:
    """The load fails so, and the server has the databases and roles that it had."""
    roles = "select array_agg(rolname::text order by 1) from pg_roles"
    before = databases(world.server), one(world.server.dsn(), roles)
    with pytest.raises(error, match=match) as caught:
        world.load(target, **more)
    assert (databases(world.server), one(world.server.dsn(), roles)) == before
    assert caught.value.do
    return str(caught.value)


def test_what_the_target_lacks_is_told_before_anything_is_done(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = world.chosen.manifest.database
    assert known is not None
    said = refused(
        world, target, TargetError, "is older than the backup",
        chosen=world.with_database(server_version_num=990001),
    )  # fmt: skip
    assert "Expected: PostgreSQL 99 or newer" in said
    strange = known.extensions[0].model_copy(update={"name": "no_such_extension"})
    refused(
        world, target, TargetError, "lacks extensions.*not available: no_such_extension",
        chosen=world.with_database(extensions=[*known.extensions, strange]),
    )  # fmt: skip
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        refused(world, target, TargetError, "too little room on the disk of the data directory")
    password = "wrong-" + secrets.token_hex(4)
    said = refused(
        world, target + f" password={password}" if "password" not in target else
        target.replace(world.server.password, password), TidewatchError, "No connection to the database",
    )  # fmt: skip
    assert password not in said


def test_a_newer_major_version_is_restored_to_with_a_word(world: World, target: str) -> None:
    loaded = world.load(target, chosen=world.with_database(server_version="13.4", server_version_num=130004))
    assert "the backup is of PostgreSQL 13.4, the target is" in loaded.remarks[0]


def test_the_wrong_key_and_no_key_are_told_by_name(world: World, target: str, tmp_path: Path) -> None:
    from pyrage import x25519

    other = tmp_path / "identity.txt"
    stranger = x25519.Identity.generate()
    other.write_text(f"{stranger}\n")
    for file, match in (
        (None, "no private key to open backups with.*TIDEWATCH_IDENTITY_FILE"),
        (other, f"does not open.*{world.chosen.manifest.encryption.key_ids[0]}"),
        (tmp_path / "nowhere", "identity file .*nowhere cannot be used"),
    ):
        ctx = replace(world.ctx, settings=world.ctx.settings.model_copy(update={"identity_file": file}))
        with pytest.raises(ConfigError, match=match) as caught:
            load(ctx, world.chosen, world.fetched, target, workdir=world.workdir)
        assert str(stranger) not in str(caught.value)
    assert Target(target).name not in databases(world.server)


@pytest.mark.parametrize("failing", ["definitions", "rows", "indexes"])
def test_a_load_that_fails_leaves_the_server_as_it_was(
    world: World, target: str, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """pg_restore is told to write into a place where it cannot, at each of its steps."""
    run_sql(world.server.dsn(), f"create database {Target(target).name}")
    real, count = pgrestore.PgRestore.__init__, [0]
    at = {"definitions": 1, "rows": 2, "indexes": 4}[failing]

    def started(self: Any, tools: Any, dsn: str, *rest: Any, **more: Any) -> None:
        count[0] += 1
        broken = dsn + " options='-c temp_file_limit=nonsense'" if count[0] == at else dsn
        real(self, tools, broken, *rest, **more)

    monkeypatch.setattr(pgrestore.PgRestore, "__init__", started)
    refused(world, target, TargetError, "pg_restore did not load the backup")
    assert one(target, "select count(*) from pg_class where relname = 'plain'") == 0
    monkeypatch.undo()
    world.load(target)


@pytest.mark.parametrize("step", ["rows", "indexes and constraints"])
def test_killed_while_loading_the_target_is_as_it_was_and_the_next_run_completes_it(
    world: World, target: str, step: str
) -> None:
    run_sql(world.server.dsn(), f"create database {Target(target).name}")

    def killed() -> None:
        def said(line: str) -> None:
            if line.endswith(step):
                os.kill(os.getpid(), signal.SIGKILL)

        load(replace(world.ctx, progress=said), world.chosen, world.fetched, target, workdir=world.workdir)

    assert os.WTERMSIG(forked(killed)) == signal.SIGKILL
    assert one(target, "select count(*) from pg_class where relname = 'plain'") == 0
    assert Target(target).temporary in databases(world.server)
    world.load(target)
    assert compared(world.chosen, target).equal
    assert Target(target).temporary not in databases(world.server)


def test_two_restores_to_one_database_do_not_meet(world: World, target: str) -> None:
    with held(Target(target)):
        refused(world, target, Busy, "Somebody else restores to")


def test_a_bad_object_is_found_while_loading_and_leaves_nothing(
    world: World, target: str, tmp_path: Path
) -> None:
    """What was checked when it was fetched may still rot before it is read."""
    dump = world.fetched.by_role("dump")[0]
    rotten = tmp_path / "rotten"
    body = bytearray(dump.path.read_bytes())
    body[-500] ^= 1
    rotten.write_bytes(body)
    objects = {**world.fetched.objects, dump.entry.key: replace(dump, path=rotten)}
    with pytest.raises(TidewatchError, match="does not open"):
        load(world.ctx, world.chosen, replace(world.fetched, objects=objects), target, workdir=world.workdir)
    assert Target(target).name not in databases(world.server)
    assert Target(target).temporary not in databases(world.server)


class Killed:
    """A session whose process ends before the statement that would give the new database its name."""

    def __init__(self, conn: Any, word: str) -> None:
        self._conn, self._word = conn, word

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)

    def execute(self, statement: Any, *more: Any) -> Any:
        text = statement if isinstance(statement, str) else statement.as_string(self._conn)
        if self._word in text:
            raise KeyboardInterrupt
        return self._conn.execute(statement, *more)


def test_killed_while_the_names_change_the_database_is_still_there_under_its_name(
    pg_server: LocalPostgres,
) -> None:
    with free_name(pg_server) as dsn, psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
        target = Target(dsn)
        for content in (True, False):
            for name in (target.name, target.temporary):
                conn.execute(f"drop database if exists {name}".encode())
                conn.execute(f"create database {name}".encode())
            if content:
                run_sql(dsn, "create table mine (id int)")
            else:
                conn.execute(f"comment on database {target.name} is 'the old one'".encode())
            with pytest.raises(KeyboardInterrupt):
                publish(cast(Any, Killed(conn, f'"{target.temporary}" rename')), target, stamp="20261122")
            names = {d for d in databases(pg_server) if d.startswith(target.name)}
            assert names == {target.name, target.temporary}


def test_a_template_of_the_server_is_not_replaced(world: World) -> None:
    for name in ("template0", "template1"):
        with pytest.raises(ConfigError, match=f"The database {name} is a template"):
            world.load(world.server.dsn(name))
    assert {"template0", "template1"} <= databases(world.server)


def test_names_that_would_be_cut_or_removed_are_refused_and_long_ones_do_not_meet(
    pg_server: LocalPostgres,
) -> None:
    for name in ("n" * 64, "n" * 52 + "__restoring", "mine__restoring"):
        with pytest.raises(ConfigError, match="cannot be restored under the name"):
            look(Target(pg_server.dsn(name)))
    one, other = (Target(pg_server.dsn("n" * 55 + last)) for last in "ab")
    with held(one), pytest.raises(Busy), held(other):
        pass
