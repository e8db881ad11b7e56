"""`tidewatch region probe` on real stores."""

import json
import os

from cli_desk import WAREHOUSE, Desk

from tidewatch.core.database import connect
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault import catalogue


def _without_lock(desk: Desk, server: LocalRegion) -> None:
    """cn-east's bucket is now one without object lock."""
    bucket = f"plain-{os.urandom(6).hex()}"
    server.create_bucket(bucket, object_lock=False)
    desk.rig.configure("cn-east", bucket=bucket)
    desk.configure()


def test_regions_that_do_what_a_backup_needs_are_usable(desk: Desk) -> None:
    said = desk("region", "probe")
    assert (said.code, said.err) == (0, "")
    for region in ("cn-east", "cn-north", "cn-south"):
        assert f"{region}: usable" in said.out
    assert "locked version undeletable" in said.out and "LACKING" not in said.out
    assert desk.rig.kinds() == [], "nothing is recorded unless asked"


def test_answers_as_json_are_json_and_nothing_else(desk: Desk) -> None:
    said = desk("region", "probe", "cn-north", "--json")
    assert (said.code, said.err) == (0, "")
    (report,) = said.json
    assert report["region"] == "cn-north" and report["usable"] is True
    assert {"versioning", "object lock", "clock"} <= {a["question"] for a in report["answers"]}


def test_a_region_that_lacks_something_is_named(desk: Desk, region_servers: list[LocalRegion]) -> None:
    _without_lock(desk, region_servers[0])
    said = desk("region", "probe")
    assert said.code == 1
    (line,) = [x for x in said.out.splitlines() if x.startswith("cn-east: ")]
    assert "LACKS" in line and "object lock" in line
    assert "cn-north: usable" in said.out
    as_json = desk("region", "probe", "cn-east", "cn-north", "--json")
    assert as_json.code == 1 and [r["usable"] for r in as_json.json] == [False, True]


def test_a_region_that_is_down_is_an_answer(desk: Desk, region_servers: list[LocalRegion]) -> None:
    region_servers[2].stop()
    said = desk("region", "probe", "cn-south")
    assert said.code == 1 and "cn-south: LACKS reachable" in said.out


def test_the_answers_are_recorded_when_asked(desk: Desk, region_servers: list[LocalRegion]) -> None:
    _without_lock(desk, region_servers[0])
    said = desk("region", "probe", "cn-east", "cn-south", "--record", "--json")
    assert said.code == 1 and len(said.json) == 2
    rows = desk.rig.query("select kind, subject from evidence.ledger order by seq")
    assert [(r["kind"], r["subject"]) for r in rows] == [
        ("region.probed", "cn-east"),
        ("region.probed", "cn-south"),
    ]
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        kept = catalogue.latest_probe(conn, "cn-south")
    assert kept is not None and kept.report["usable"] is True
    assert len(desk.rig.notices()) == 1


def test_an_unknown_region_is_not_done(desk: Desk) -> None:
    said = desk("region", "probe", "cn-west")
    assert (said.code, said.out) == (3, "") and "cn-east, cn-north, cn-south" in said.err


def test_only_the_connections_of_the_named_regions_are_needed(desk: Desk) -> None:
    desk.set(AIRFLOW_CONN_TIDEWATCH_REGION_CN_SOUTH=None, **{WAREHOUSE: None})
    assert desk("region", "probe", "cn-east").code == 0
    said = desk("region", "probe")
    assert said.code == 3 and "AIRFLOW_CONN_TIDEWATCH_REGION_CN_SOUTH" in said.err


def test_what_cannot_be_recorded_is_not_even_asked(desk: Desk) -> None:
    desk.set(**{WAREHOUSE: None})
    said = desk("region", "probe", "cn-east", "--record")
    assert (said.code, said.out) == (3, "") and WAREHOUSE in said.err
    assert not list(desk.rig.regions[0].store.list(""))


def test_wrong_credentials_are_told_and_never_shown(desk: Desk) -> None:
    name = "AIRFLOW_CONN_TIDEWATCH_REGION_CN_EAST"
    fields = json.loads(desk.variables[name]) | {"password": "hunter2-hunter2"}
    desk.set(**{name: json.dumps(fields)})
    said = desk("region", "probe", "cn-east")
    assert said.code == 1 and "cn-east: LACKS reachable" in said.out
    assert "hunter2" not in said.out + said.err and fields["login"] not in said.out + said.err
