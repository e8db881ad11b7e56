"""`tidewatch catalog rebuild`: the database is gone, one region is left."""

from typing import Any

import pytest
from backup_rig import run_sql
from cli_desk import Desk

from tidewatch.backup.heal import heal
from tidewatch.backup.run import RunRef, judge, stage
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault import catalogue

REGIONS = ("cn-east", "cn-north", "cn-south")


@pytest.fixture
def history(desk: Desk, database: str, region_servers: list[LocalRegion]) -> Desk:
    """A year in small: two backups of files (the second one a manifest only), a degraded one, an accepted
    suspect, a database; a failed attempt."""
    rig, root = desk.rig, desk.home / "media"
    root.mkdir()
    for n in range(6):
        (root / f"{n}.bin").write_bytes(bytes([n]) * 3000)
    media = rig.files_source("media", root)
    rig.back_up(media, "run-1")
    assert rig.back_up(media, "run-2").new_stored_bytes == 0
    run_sql(database, "create table posts (id int)", "insert into posts select generate_series(1, 100)")
    ops = rig.postgres_source("ops", database)
    rig.back_up(ops, "run-1")
    region_servers[2].stop()
    rig.back_up(ops, "run-2")
    region_servers[2].start()
    run_sql(database, "delete from posts where id > 40")
    desk.configure()
    staged = stage(rig.ctx, ops, RunRef(dag_id="tests", run_id="run-3"))
    judge(rig.ctx, staged.backup_id)
    desk.backup_id = staged.backup_id
    said = desk("backup", "accept", staged.backup_id, "--by", "Li Wei", "--reason", "archived")
    assert said.code == 0, said.err
    return desk


def _lose_the_database(desk: Desk) -> None:
    ours = desk.rig.query(
        "select quote_ident(nspname) as name from pg_namespace where nspname !~ '^pg_' "
        "and nspname not in ('public', 'information_schema')"
    )
    run_sql(
        desk.rig.warehouse,
        f"drop schema {', '.join(schema['name'] for schema in ours)} cascade",
        "drop table public.tidewatch_migrations",
    )
    assert desk("db", "migrate").code == 0


def _listed(desk: Desk) -> list[dict[str, Any]]:
    return list(desk("backup", "list", "--json").json)


def _shown(desk: Desk, backup_id: str) -> dict[str, Any]:
    return dict(desk("backup", "show", backup_id, "--json").json)


def _copies(shown: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(c["region"], c["object_key"]): c for c in shown["copies"]}


def test_one_region_alone_brings_the_catalogue_back(history: Desk, region_servers: list[LocalRegion]) -> None:
    desk, rig = history, history.rig
    before = _listed(desk)
    shown = {row["backup_id"]: _shown(desk, row["backup_id"]) for row in before}
    kinds = rig.kinds()
    assert {row["status"] for row in before} == {"sealed", "degraded", "accepted"} and len(before) == 5

    _lose_the_database(desk)
    for server in (region_servers[0], region_servers[2]):
        server.stop()
    assert _listed(desk) == []
    tried = desk("catalog", "rebuild", "--region", "cn-north", "--dry-run")
    assert tried.code == 0 and "5 would be entered" in tried.out and _listed(desk) == []
    done = desk("catalog", "rebuild", "--region", "cn-north", "--json")
    assert done.code == 0, done.out + done.err
    assert (done.json["manifests"], done.json["adopted"], done.json["decisions"]) == (5, 5, 1)

    # Every row and every value of it, except what nobody in this region can know: whether the others took the
    # manifest. It says so.
    after = _listed(desk)
    assert [{**row, "verified_in": 0} for row in after] == [{**row, "verified_in": 0} for row in before]
    assert {tuple(row["verified_in"]) for row in after} == {("cn-north",)}
    for backup_id, old in shown.items():
        new = _shown(desk, backup_id)
        assert new["manifest"] == old["manifest"]
        was, now = _copies(old), _copies(new)
        assert set(was) == set(now)
        for place, copy in was.items():
            is_manifest = place[1].endswith("/manifest.json")
            if is_manifest and place[0] == "cn-north":
                assert {**now[place], "read_back_at": 0} == {**copy, "read_back_at": 0}
            elif is_manifest and copy["state"] == "verified":
                assert now[place]["state"] == "uploaded" and now[place]["read_back_at"] is None
            else:
                assert now[place] == copy
        assert desk("backup", "verify", backup_id, "--region", "cn-north").code == 0
    assert [k for k in rig.kinds() if k != "decision.made"] == ["catalog.rebuilt"] and len(kinds) > 20

    again = desk("catalog", "rebuild", "--region", "cn-north", "--json")
    assert again.code == 0 and (again.json["adopted"], again.json["known"]) == (0, 5)
    assert _listed(desk) == after and len(rig.kinds()) == 2, "the second time nothing changes"

    # The next backup of files sends a manifest only, and healing completes what was degraded.
    third = rig.back_up("media", "run-3")
    assert third.verdict == "degraded" and third.new_stored_bytes == 0
    for server in (region_servers[0], region_servers[2]):
        server.start()
    checked = desk("catalog", "rebuild", "--region", "cn-north", "--check", "--json")
    states = {c["region"]: (c["verified"], c["failed"]) for c in checked.json["checked"]}
    # cn-south lacks ops/run-2 as before, and both lack the backup made while they were away.
    assert states == {"cn-north": (6, 0), "cn-east": (5, 1), "cn-south": (4, 2)} and checked.code == 1
    with rig.ctx.connect() as conn:
        lacking = [row.backup_id for row in catalogue.degraded(conn)]
    assert len(lacking) == 2
    for backup_id in lacking:
        assert heal(rig.ctx, backup_id).verdict == "sealed"
    for row in _listed(desk):
        assert tuple(row["verified_in"]) == REGIONS
        assert desk("backup", "verify", row["backup_id"]).code == 0
    fourth = rig.back_up("media", "run-4")
    assert fourth.verdict == "sealed" and fourth.new_stored_bytes == 0


def test_healing_alone_asks_for_what_a_rebuild_could_not_see(
    backed_up: Desk, region_servers: list[LocalRegion]
) -> None:
    desk = backed_up
    _lose_the_database(desk)
    assert desk("catalog", "rebuild", "--region", "cn-east").code == 0
    with desk.rig.ctx.connect() as conn:
        assert [row.status for row in catalogue.degraded(conn)] == ["sealed"]
    assert heal(desk.rig.ctx, desk.backup_id).problems == {}
    assert [tuple(row["verified_in"]) for row in _listed(desk)] == [REGIONS]


def test_the_chain_of_records_begins_anew_and_says_where_the_one_before_ended(backed_up: Desk) -> None:
    desk, rig = backed_up, backed_up.rig
    rig.back_up("media", "run-2")
    (last,) = rig.query("select seq, hash from evidence.ledger order by seq desc limit 1")
    _lose_the_database(desk)
    broken = desk("ledger", "verify", "--region", "cn-south")
    assert broken.code == 1 and "cut" in broken.out, "a chain that is gone must not go unnoticed"
    said = desk("catalog", "rebuild", "--region", "cn-south")
    assert said.code == 0 and "The ledger of these backups is not this one" in said.out
    (record,) = rig.query("select entry::jsonb -> 'body' -> 'chain_before' as lost from evidence.ledger")
    lost = record["lost"]
    newest = _listed(desk)[0]["backup_id"]
    head = rig.get(newest).manifest.ledger_head
    assert head is not None and (lost["seq"], lost["hash"]) == (head["seq"], head["hash"])
    assert lost["backup_id"] == newest and lost["key_id"] == rig.keys.signing_key.public.key_id
    assert lost["seq"] < last["seq"], "what came after the last anchor is lost and not claimed"
    fine = desk("ledger", "verify", "--region", "cn-south")
    assert fine.code == 0, fine.out
    assert f"record {head['seq']} {head['hash']}" in fine.out and "not the first" in fine.out
    # From here on the new chain is held to its own heads, as any chain.
    rig.back_up("media", "run-3")
    assert desk("ledger", "verify", "--region", "cn-south").code == 0
    run_sql(
        rig.warehouse,
        "alter table evidence.ledger disable trigger all",
        "alter table evidence.head disable trigger all",
        "delete from evidence.ledger where seq > 2",
        "update evidence.head set seq = 2, hash = (select hash from evidence.ledger where seq = 2)",
    )
    cut = desk("ledger", "verify", "--region", "cn-south")
    assert cut.code == 1 and "cut from the end" in cut.out


def test_an_unknown_region_and_a_dead_one_enter_nothing(
    backed_up: Desk, region_servers: list[LocalRegion]
) -> None:
    _lose_the_database(backed_up)
    unknown = backed_up("catalog", "rebuild", "--region", "cn-west")
    assert unknown.code == 3 and "cn-east, cn-north, cn-south" in unknown.err
    region_servers[0].stop()
    dead = backed_up("catalog", "rebuild", "--region", "cn-east")
    assert dead.code == 3 and "cn-east" in dead.err
    assert _listed(backed_up) == [] and backed_up.rig.kinds() == []
