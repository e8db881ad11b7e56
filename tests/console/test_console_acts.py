"""What people do in the console, and that each act is recorded with who did it."""

import json
import re
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from backup_rig import Rig
from console_history import REGIONS, SOURCES
from console_house import PROJECT, House, send
from starlette.testclient import TestClient

from tidewatch.console import checks
from tidewatch.console.checks import settle
from tidewatch.core.connections import Connection
from tidewatch.core.database import connect, try_lock
from tidewatch.core.regions import Region
from tidewatch.vault.layout import region_key


def last_record(house: House) -> dict[str, Any]:
    row = house.query("select kind, subject, entry from evidence.ledger order by seq desc limit 1")[0]
    return {**row, "body": json.loads(row["entry"])["body"]}


def pick(house: House, statement: str) -> Any:
    return next(iter(house.query(statement)[0].values()))


def connect_regions(house: House, rig: Rig, sources: list[dict[str, Any]]) -> None:
    """The keys and regions of the rig for the house."""
    config = house.settings.home / "config"
    config.mkdir()
    for name, content in {
        "regions": rig.regions_file.model_dump(mode="json"),
        "sources": {"sources": sources},
        "restore_tests": yaml.safe_load((PROJECT / "config" / "restore_tests.yaml").read_text()),
    }.items():
        (config / f"{name}.yaml").write_text(json.dumps(content))
    house.settings.config_dir = config
    house.settings.signing_key_file = rig.keys.signing_key_file
    house.settings.verify_key_file = rig.keys.verify_key_file
    for region in rig.regions:
        client: Any = region.store.client
        credentials = client._request_signer._credentials
        house.connections[region.config.connection] = Connection(
            region.config.connection,
            "aws",
            login=credentials.access_key,
            password=credentials.secret_key,
            extra={"endpoint_url": client.meta.endpoint_url, "region_name": "us-east-1"},
        )


@pytest.fixture
def acting_house(own_house: House, tmp_path: Path, three_regions: list[Region], keys: Any) -> House:
    """A house of its own whose regions answer."""
    sources = [
        {"type": "files", "name": name, "data_class": "internal", "path": "/nowhere"} for name in SOURCES
    ]
    connect_regions(own_house, Rig(tmp_path, own_house.dsn, three_regions, keys), sources)
    return own_house


# -- signing -----------------------------------------------------------------------------------------------


def run_to_sign(house: House) -> str:
    return str(
        pick(
            house,
            "select run_id from restore.reports where run_id not in (select run_id from restore.signoffs)"
            " order by made_at desc limit 1",
        )
    )


def sign(client: TestClient, run_id: str, decision: str, **more: str) -> Any:
    page = "/restores/run?run=" + run_id.replace("+", "%2B")
    sha256 = re.search(r'name="report_sha256" value="(\w+)"', client.get(page).text)
    fields = {"run": run_id, "decision": decision, "report_sha256": sha256[1] if sha256 else "0" * 64} | more
    return send(client, "/restores/sign", **fields)


def test_compliance_signs_a_report_and_its_hash_and_the_name_are_in_the_ledger(acting_house: House) -> None:
    run_id, client = run_to_sign(acting_house), acting_house.client("compliance")
    assert sign(client, run_id, "signed", note="读过 all of it").status_code == 303
    record = next(
        json.loads(r["entry"])["body"]
        for r in acting_house.query("select entry from evidence.ledger where kind = 'restore.signed'")
    )
    report = pick(acting_house, f"select sha256 from restore.reports where run_id = '{run_id}'")
    assert (record["signed_by"], record["decision"], record["via"]) == ("the.compliance", "signed", "console")
    assert record["report_sha256"] == report
    page = client.get("/restores/run?run=" + run_id.replace("+", "%2B")).text
    assert "the.compliance" in page and "读过 all of it" in page and 'action="/restores/sign"' not in page
    evidence = client.get("/evidence").text
    assert all(f"<strong>{region}</strong>: Record" in evidence for region in REGIONS), "anchored with it"


def test_another_report_than_the_one_that_was_read_is_not_signed(acting_house: House) -> None:
    run_id, client = run_to_sign(acting_house), acting_house.client("compliance")
    answer = sign(client, run_id, "signed", report_sha256="1" * 64, note="typed text stays")
    assert answer.status_code == 409 and "typed text stays" in answer.text
    assert not acting_house.query("select from restore.signoffs where run_id = %s", run_id)


def test_a_refusal_needs_a_reason_and_silence_is_no_decision(acting_house: House) -> None:
    run_id, client = run_to_sign(acting_house), acting_house.client("compliance")
    assert sign(client, run_id, "refused").status_code == 409
    assert sign(client, run_id, "").status_code == 400
    assert sign(client, run_id, "unsigned").status_code == 400
    assert sign(client, run_id, "refused", note="cn-north is missing").status_code == 303
    decision = acting_house.query(
        "select decision, signed_by from restore.signoffs where run_id = %s", run_id
    )
    assert decision == [{"decision": "refused", "signed_by": "the.compliance"}]


def test_what_is_downloaded_is_what_is_signed(house: House) -> None:
    from hashlib import sha256

    run_id = run_to_sign(house)
    answer = house.client("compliance").get("/restores/report.json", params={"run": run_id})
    assert sha256(answer.content).hexdigest() == pick(
        house, f"select sha256 from restore.reports where run_id = '{run_id}'"
    )
    assert answer.headers["content-disposition"].startswith("attachment")


# -- findings ----------------------------------------------------------------------------------------------


def test_a_finding_is_closed_with_a_reason_once(own_house: House) -> None:
    from tidewatch.evidence.findings import open_finding

    with connect(own_house.dsn, application_name="tests") as conn:
        finding = open_finding(
            conn, key="test:1", kind="test.found", severity="warning", source="ops", region=None,
            subject="ops", said_zh="不对", said_en="wrong", detail={}, now=own_house.clock(),
        )  # fmt: skip
    client, address = own_house.client("engineer"), f"/findings/{finding.finding_id}"
    refused = send(client, f"{address}/close", why="  ")
    assert refused.status_code == 422 and "Please say why" in refused.text
    assert send(client, f"{address}/close", why="the region was moved").status_code == 303
    body = last_record(own_house)["body"]
    assert (body["closed_by"], body["why"]) == ("the.engineer", "the region was moved")
    assert "the region was moved" in client.get(address).text
    again = send(client, f"{address}/close", why="again")
    assert again.headers["location"].endswith("said=was_closed")
    assert last_record(own_house)["body"]["why"] == "the region was moved"


def test_a_finding_of_a_restore_test_is_not_closed_by_a_persons_word(own_house: House) -> None:
    from tidewatch.evidence.findings import open_finding

    def found(source: str) -> str:
        with connect(own_house.dsn, application_name="tests") as conn:
            finding = open_finding(
                conn, key=f"restore.test/{source}/cn-east/latest", kind="restore.failed", severity="critical",
                source=source, region="cn-east", subject=source, said_zh="不对", said_en="wrong", detail={},
                now=own_house.clock(),
            )  # fmt: skip
        return f"/findings/{finding.finding_id}"

    client, address = own_house.client("engineer"), found("ops")
    shown = client.get(address).text
    assert "Only a later restore test that passes" in shown and "<textarea" not in shown
    refused = send(client, f"{address}/close", why="it is fine, believe me")
    assert refused.status_code == 409 and "run `tidewatch restores test --source ops`" in refused.text
    assert own_house.query("select closed_at from evidence.findings where source = 'ops' and key like "
                           "'restore.test/%%'")[-1]["closed_at"] is None  # fmt: skip
    given_up = found("a source that was given up")
    assert "<textarea" in client.get(given_up).text
    assert send(client, f"{given_up}/close", why="given up").headers["location"].endswith("said=closed")


# -- holds -------------------------------------------------------------------------------------------------


def test_a_hold_is_placed_and_lifted_by_name_and_reason(acting_house: House) -> None:
    client = acting_house.client("compliance")
    placed = send(
        client,
        "/holds",
        source="ops",
        holder="法务部",
        reason="仲裁",
        span_from="2026-10-01",
        span_until="2026-10-31",
    )
    assert placed.headers["location"] == "/holds?said=placed"
    hold = acting_house.query("select * from vault.holds where holder = '法务部'")[0]
    # Both days belong to the span, in the time of the pages.
    assert hold["span_from"].isoformat() == "2026-09-30T16:00:00+00:00"
    assert hold["span_until"].isoformat() == "2026-10-31T16:00:00+00:00"
    assert hold["placed_by"] == "the.compliance"
    assert "法务部" in client.get("/holds").text

    address = f"/holds/{hold['hold_id']}/lift"
    refused = send(client, address, reason="")
    assert refused.status_code == 422
    assert send(acting_house.client("engineer"), address, reason="案件已结").status_code == 303
    lifted = acting_house.query("select * from vault.holds where hold_id = %s", hold["hold_id"])[0]
    assert (lifted["lifted_by"], lifted["lift_reason"]) == ("the.engineer", "案件已结")
    kinds = acting_house.query(
        "select kind, entry from evidence.ledger where kind like 'hold.%%' order by seq"
    )
    assert [row["kind"] for row in kinds] == ["hold.placed", "hold.lifted"]
    assert "the.compliance" in kinds[0]["entry"] and "the.engineer" in kinds[1]["entry"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"holder": ""},
        {"reason": ""},
        {"source": "nothing"},
        {"backup_id": "ops-nothing"},
        {"span_from": "2026-13-01"},
        {"span_from": "2026-10-02", "span_until": "2026-10-01"},
    ],
)
def test_a_hold_that_cannot_be_placed_says_why_and_keeps_what_was_typed(
    house: House, wrong: dict[str, str]
) -> None:
    fields = {"source": "ops", "holder": "Legal <b>", "reason": "a case & more"} | wrong
    answer = send(house.client("compliance"), "/holds", **fields)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    if "reason" not in wrong:
        assert "a case &amp; more" in answer.text
    assert not house.query("select from vault.holds where reason = 'a case & more'")


# -- the export --------------------------------------------------------------------------------------------


def test_an_auditor_downloads_the_export_and_that_is_recorded(own_house: House, keys: Any) -> None:
    own_house.settings.signing_key_file = keys.signing_key_file
    own_house.settings.verify_key_file = keys.verify_key_file
    answer = send(own_house.client("auditor"), "/evidence/export")
    assert answer.headers["content-type"] == "application/zip"
    assert "tidewatch-evidence-2026-11-22.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        assert "verify_evidence.py" in archive.namelist()
        lines = archive.read("ledger.ndjson").splitlines()
    assert len(lines) >= 1500
    record = last_record(own_house)
    assert (record["kind"], record["body"]["exported_by"]) == ("evidence.exported", "the.auditor")


# -- verify now --------------------------------------------------------------------------------------------


@pytest.fixture
def backed_up(
    tmp_path: Path, warehouse: str, three_regions: list[Region], keys: Any
) -> tuple[House, Rig, str]:
    """A house of its own with one backup of one file in three regions."""
    rig = Rig(tmp_path, warehouse, three_regions, keys)
    root = tmp_path / "media"
    root.mkdir()
    (root / "a.txt").write_bytes(b"alpha")
    rig.files_source("media", root)
    backup_id = rig.back_up("media").backup_id
    house = House(warehouse, tmp_path)
    connect_regions(house, rig, rig.sources)
    return house, rig, backup_id


def finished(house: House, number: int) -> dict[str, Any]:
    """The check, once its thread has written it."""
    import threading

    for thread in threading.enumerate():
        if thread.name.startswith("tidewatch.console.check."):
            thread.join(60)
    return house.query("select * from console.checks order by check_id")[number - 1]


def test_verify_now_asks_every_region_and_records_who_asked_and_what_was_found(
    backed_up: tuple[House, Rig, str],
) -> None:
    house, rig, backup_id = backed_up
    client = house.client("engineer")
    for number, mode in ((1, "checksum"), (2, "full")):
        answer = send(client, f"/backups/{backup_id}/verify", mode=mode)
        assert answer.headers["location"] == f"/backups/{backup_id}?said=verifying#checks"
        check = finished(house, number)
        assert (check["state"], check["ok"], check["mode"]) == ("done", True, mode), check
    record = last_record(house)
    assert (record["kind"], record["subject"], record["body"]["by"]) == (
        "console.acted", backup_id, "the.engineer",
    )  # fmt: skip
    assert record["body"]["found"] == {"cn-east": True, "cn-north": True, "cn-south": True}

    spoilt = rig.regions[1]
    entry = rig.get(backup_id).manifest.objects[0]
    spoilt.store.client.put_object(
        Bucket=spoilt.config.bucket, Key=region_key(spoilt.config.prefix, entry.key), Body=b"something else"
    )
    send(client, f"/backups/{backup_id}/verify", mode="full")
    check = finished(house, 3)
    assert check["ok"] is False
    assert last_record(house)["body"]["found"] == {"cn-east": True, "cn-north": False, "cn-south": True}
    page = client.get(f"/backups/{backup_id}").text
    assert "differs" in page and "the.engineer" in page


def test_without_a_way_to_any_region_no_check_is_begun(own_house: House, keys: Any) -> None:
    own_house.settings.verify_key_file = keys.verify_key_file
    backup_id = pick(own_house, "select backup_id from vault.backups where status = 'sealed' limit 1")
    answer = send(own_house.client("engineer"), f"/backups/{backup_id}/verify")
    assert answer.status_code == 409 and "There is no connection tidewatch_region_cn_east" in answer.text
    assert not own_house.query("select from console.checks")


def test_a_check_is_asked_for_once_and_one_whose_process_died_is_an_interrupted_one(
    acting_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_house = acting_house
    backup_id = pick(own_house, "select backup_id from vault.backups where status = 'sealed' limit 1")
    client = own_house.client("engineer")
    kept: list[Any] = []
    monkeypatch.setattr(checks, "_work", lambda *arguments: kept.append(arguments))
    assert "said=verifying" in send(client, f"/backups/{backup_id}/verify").headers["location"]
    assert "said=busy" in send(client, f"/backups/{backup_id}/verify").headers["location"]
    assert "is being verified" in client.get(f"/backups/{backup_id}").text
    kept[0][2].close()  # the session of a process that was killed
    with connect(own_house.dsn, application_name="tests") as conn:
        # The server lets go of the lock when it notices that the session is gone.
        while not try_lock(conn, f"tidewatch.console.check.{kept[0][3]}"):
            pass
    settle(own_house.desk, backup_id)
    assert "interrupted" in client.get(f"/backups/{backup_id}").text
    assert "said=verifying" in send(client, f"/backups/{backup_id}/verify").headers["location"]
    kept[1][2].close()


def test_who_may_read_backups_but_not_verify_has_no_such_form(house: House) -> None:
    backup_id = pick(house, "select backup_id from vault.backups where status = 'sealed' limit 1")
    assert "/verify" in house.client("engineer").get(f"/backups/{backup_id}").text
    assert "/verify" not in house.client("compliance").get(f"/backups/{backup_id}").text
