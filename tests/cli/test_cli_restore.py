"""`tidewatch restore`, and everything it refuses before it begins."""

import getpass
import json
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from backup_rig import run_sql
from cli_desk import WAREHOUSE, Desk, postgres_connection
from plain_restore import look

from tidewatch.local.postgres import LocalPostgres
from tidewatch.vault.layout import region_key

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from region_proxy import RegionProxy


def allow(desk: Desk, **lists: list[str]) -> None:
    (desk.home / "config" / "restore.yaml").write_text(json.dumps(lists), encoding="utf-8")


@pytest.fixture
def ready(backed_up: Desk, keys: Any) -> Desk:
    backed_up.set(TIDEWATCH_IDENTITY_FILE=str(keys.identity_file))
    allow(
        backed_up,
        scratch=[f"directory:{backed_up.home}/scratch/*"],
        allowed=[f"directory:{backed_up.home}/*", "database:*", "bucket:*"],
    )
    return backed_up


def scratch(desk: Desk, name: str = "media") -> str:
    return f"directory:{desk.home}/scratch/{name}"


def test_files_come_back_and_the_ledger_says_so(ready: Desk) -> None:
    dry = ready("restore", "media", "--to", scratch(ready), "--dry-run")
    assert dry.code == 0 and "Nothing was done." in dry.out
    assert f"backup: {ready.backup_id} (sealed)" in dry.out
    assert not (ready.home / "scratch").exists()
    said = ready("restore", "media", "--to", scratch(ready))
    assert said.code == 0, said.err
    assert f"{ready.backup_id} from cn-east is now {scratch(ready)}" in said.out
    assert look(ready.home / "scratch" / "media") == look(ready.home / "media")
    [record] = ready.rig.query("select * from evidence.ledger where kind = 'restore.done'")
    body = json.loads(record["entry"])["body"]
    assert (body["backup_id"], body["scratch"], body["regions"]) == (ready.backup_id, True, ["cn-east"])
    assert body["restored_by"] == getpass.getuser() and body["entries"] == 2
    assert f"Record {record['seq']} of the ledger" in said.out
    again = ready("restore", "media", "--to", scratch(ready))
    assert again.code == 3 and "is not empty" in again.err


def test_a_region_that_is_down_is_passed_over_and_told(ready: Desk) -> None:
    region = ready.rig.regions[0]
    with RegionProxy(region) as proxy:
        proxy.cut()
        value = json.loads(ready.variables[f"AIRFLOW_CONN_{region.config.connection.upper()}"])
        value["extra"]["endpoint_url"] = f"http://127.0.0.1:{proxy.port}"
        ready.set(**{f"AIRFLOW_CONN_{region.config.connection.upper()}": json.dumps(value)})
        said = ready("restore", "media", "--to", scratch(ready), "--path", "a.txt", "--json")
        assert said.code == 0, said.err
        assert said.json["regions"] == ["cn-north"]
        assert said.json["remarks"][0].startswith("cn-east cannot be used, asking the others: Region cn-east")
        named = ready("restore", "media", "--to", scratch(ready, "2"), "--region", "cn-east")
        assert named.code == 3 and "Region cn-east did not list" in named.err
    assert (ready.home / "scratch" / "media" / "a.txt").read_bytes() == b"alpha"


def test_a_corrupted_object_is_had_from_the_next_region_and_told(ready: Desk) -> None:
    region = ready.rig.regions[0]
    body = bytearray(region.store.read(region_key(region.config.prefix, ready.object_key)))
    body[len(body) // 2] ^= 1
    ready.overwrite(region, ready.object_key, bytes(body))
    strict = ready("restore", "media", "--to", scratch(ready), "--region", "cn-east")
    assert strict.code == 3 and "gave other bytes" in strict.err
    assert not (ready.home / "scratch" / "media").exists()
    said = ready("restore", "media", "--to", scratch(ready))
    assert said.code == 0 and "cannot be used, asking elsewhere: Region cn-east gave other bytes" in said.out
    assert look(ready.home / "scratch" / "media") == look(ready.home / "media")


def test_what_is_not_scratch_takes_the_typed_name_and_what_is_not_listed_is_refused(ready: Desk) -> None:
    target = f"directory:{ready.home}/serious"
    assert "It takes --confirm serious." in ready("restore", "media", "--to", target, "--dry-run").out
    for confirm in ([], ["--confirm", "yes"]):
        said = ready("restore", "media", "--to", target, *confirm)
        assert said.code == 3 and "needs a confirmation" in said.err and "--confirm serious" in said.err
    assert ready("restore", "media", "--to", target, "--confirm", "serious").code == 0
    # What no pattern allows is refused, also through a link.
    said = ready("restore", "media", "--to", "directory:/srv/elsewhere", "--confirm", "elsewhere")
    assert said.code == 3 and "is not a target that restores may write to" in said.err
    (ready.home / "scratch").symlink_to("/srv")
    said = ready("restore", "media", "--to", scratch(ready, "elsewhere"))
    assert said.code == 3 and "directory:/srv/elsewhere is not a target" in said.err
    readable = ("elsewhere", "directory:", "tape:one", "directory:/", "bucket:only", "database:/x")
    for text in (*readable, "bucket:a/b/c/../d", "bucket:a/b/./d", "bucket:a/b/c//d", "bucket:a/.."):
        said = ready("restore", "media", "--to", text)
        assert said.code == 3 and "target cannot be read" in said.err, text
    (ready.home / "config" / "restore.yaml").write_text("scratch: ['/srv/*']\n", encoding="utf-8")
    assert (
        "a pattern has the form database:CONNECTION" in ready("restore", "media", "--to", "directory:/x").err
    )


def test_content_is_replaced_only_where_the_list_says_so_and_is_kept_and_a_bucket_is_filled(
    ready: Desk,
) -> None:
    serious = ready.home / "serious"
    serious.mkdir()
    (serious / "mine").write_text("mine")
    target = f"directory:{serious}"
    said = ready("restore", "media", "--to", target, "--confirm", "serious")
    assert said.code == 3 and "is not empty" in said.err
    allow(ready, overwrite=[target])
    assert ready("restore", "media", "--to", target).code == 3
    said = ready("restore", "media", "--to", target, "--confirm", "serious")
    assert said.code == 0, said.err
    [kept] = ready.home.glob("serious.before-*")
    assert (kept / "mine").read_text() == "mine" and kept.name in said.out
    assert look(serious) == look(ready.home / "media")
    # A bucket is a target too.
    allow(ready, allowed=["bucket:*"])
    region = ready.rig.regions[2]
    prefix = f"back-{secrets.token_hex(4)}"
    target = f"bucket:{region.config.connection}/{region.config.bucket}/{prefix}"
    said = ready("restore", "media", "--to", target, "--confirm", region.config.bucket)
    assert said.code == 0, said.err
    assert "a bucket keeps contents only" in said.out
    assert region.store.read(f"{prefix}/a.txt") == b"alpha"
    assert len(list(region.store.list(prefix))) == 2


REFUSED = [
    (["media", "--region", "cn-west"], "There is no region cn-west"),
    (["nothing"], "has no good backup of nothing"),
    (["media", "--at", "2001-01-01"], "has no good backup of media from before 2001-01-01"),
    (["media", "--backup", "media-x"], "is not the id of a backup"),
    (["media", "--path", "nowhere"], "has nothing at nowhere"),
    (["media", "--table", "a.b"], "is not a backup of a database"),
]


def test_what_cannot_be_is_told_before_anything_is_fetched(
    ready: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, expected in REFUSED:
        said = ready("restore", *arguments, "--to", scratch(ready))
        assert said.code == 3 and expected in said.err and "What to do:" in said.err
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
        said = ready("restore", "media", "--to", scratch(ready))
        assert said.code == 3 and "too little room on the disk of the work directory" in said.err
    ready.set(TIDEWATCH_IDENTITY_FILE=None)
    said = ready("restore", "media", "--to", scratch(ready))
    assert said.code == 3 and "no private key to open backups with" in said.err
    assert not (ready.home / "scratch").exists()
    assert not (ready.rig.settings.home / "restore").exists()


@pytest.fixture
def database_desk(ready: Desk, database: str, pg_server: LocalPostgres) -> Iterator[tuple[Desk, str]]:
    run_sql(database, "create table t (id int primary key)", "insert into t select generate_series(1, 100)")
    ready.rig.back_up(ready.rig.postgres_source("ops", database))
    ready.configure()
    ready.set(AIRFLOW_CONN_TARGET=postgres_connection(pg_server.dsn("postgres")))
    name = f"cli_{secrets.token_hex(5)}"
    yield ready, name
    pg_server.drop_database(name)


def test_a_database_comes_back_without_a_warehouse(
    database_desk: tuple[Desk, str], pg_server: LocalPostgres
) -> None:
    desk, name = database_desk
    desk.set(**{WAREHOUSE: None})
    target = ["--to", f"database:target/{name}"]
    assert "all 1" in desk("restore", "ops", *target, "--dry-run").out
    said = desk("restore", "ops", *target, "--confirm", name)
    assert said.code == 0, said.err
    assert "this restore is not in the ledger, since there is no warehouse" in said.out
    with psycopg.connect(pg_server.dsn(name)) as conn:
        row = conn.execute("select count(*) from t").fetchone()
    assert row == (100,)
    assert "is not empty" in desk("restore", "ops", *target, "--confirm", name).err
    missing = desk("restore", "ops", "--to", "database:nobody/x", "--confirm", "x")
    assert missing.code == 3 and "There is no connection nobody" in missing.err
    files = desk("restore", "media", *target, "--confirm", name)
    assert files.code == 3 and "is a backup of files" in files.err
    table = desk("restore", "ops", "--table", "public.gone", *target, "--confirm", name)
    assert table.code == 3


def test_what_was_restored_is_not_removed_with_what_was_fetched(ready: Desk) -> None:
    place = ready.home / "fetched" / ready.backup_id
    for target in (place, place / "again", place.parent):
        to = ["--to", f"directory:{target}", "--confirm", target.name]
        said = ready("restore", "media", *to, "--work-dir", str(place.parent))
        assert said.code == 3 and "work directory" in said.err, (target, said.err)
    assert not (place / "again").exists()
