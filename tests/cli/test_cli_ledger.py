"""`tidewatch ledger verify | list` on a real ledger, also one that a superuser has altered."""

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_desk import Desk

from tidewatch.core.database import connect
from tidewatch.evidence import ledger
from tidewatch.evidence.anchor import sign_head
from tidewatch.evidence.record import Head
from tidewatch.local.s3 import LocalRegion
from tidewatch.vault.layout import BackupPath, new_backup_id
from tidewatch.vault.manifest import from_json, sign

NOW = datetime(2026, 11, 22, 3, 4, 5, 678901, tzinfo=UTC)


def _fill(desk: Desk, count: int, **body: object) -> None:
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        for n in range(count):
            ledger.append(conn, kind="test.fact", subject=f"subject {n}", body={"n": n, **body}, now=NOW)


def _as_superuser(desk: Desk, *statements: str) -> None:
    """What the owner of the database can do past the triggers."""
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        for table in ("ledger", "head"):
            conn.execute(f"alter table evidence.{table} disable trigger all".encode())
        for statement in statements:
            conn.execute(statement.encode())


def _cut_after(desk: Desk, seq: int) -> None:
    """Cut the end of the chain and make everything in this database agree with that."""
    _as_superuser(
        desk,
        f"delete from evidence.ledger where seq > {seq}",
        "update evidence.head set (seq, hash) = (select seq, hash from evidence.ledger "
        "order by seq desc limit 1)",
    )


def _stored(desk: Desk) -> list[str]:
    return [r["entry"] for r in desk.rig.query("select entry from evidence.ledger order by seq")]


# -- verify ------------------------------------------------------------------------------------------------


def test_an_intact_ledger_is_said_to_be_intact(desk: Desk) -> None:
    _fill(desk, 3)
    said = desk("ledger", "verify")
    assert (said.code, said.err) == (0, "") and "intact: 3 records" in said.out
    assert "Checked in itself only" in said.out
    as_json = desk("ledger", "verify", "--json")
    assert (as_json.code, as_json.err) == (0, "")
    assert as_json.json["ok"] is True and as_json.json["head"]["seq"] == 3 and as_json.json["problems"] == []


def test_an_altered_record_is_named(desk: Desk) -> None:
    _fill(desk, 5)
    _as_superuser(
        desk, "update evidence.ledger set entry = replace(entry, '\"n\":2', '\"n\":9') where seq = 3"
    )
    said = desk("ledger", "verify")
    assert said.code == 1 and "BROKEN" in said.out and "- record 3: " in said.out
    as_json = desk("ledger", "verify", "--json")
    assert as_json.code == 1
    assert as_json.json["ok"] is False and as_json.json["first_bad_seq"] == 3


def test_what_stands_in_an_altered_record_cannot_steer_the_terminal(desk: Desk) -> None:
    _fill(desk, 2)
    _as_superuser(
        desk,
        "alter table evidence.ledger drop constraint ledger_hash_check",
        "update evidence.ledger set hash = E'\\x1b[31m[bold]\\u202e\\n- all is well' where seq = 1",
    )
    said = desk("ledger", "verify")
    assert said.code == 1 and not {"\x1b", "\u202e"} & set(said.out)
    assert r"\x1b[31m[bold]\u202e\n- all is well" in said.out


def test_a_whole_ledger_fits_the_head_in_every_region(backed_up: Desk) -> None:
    for region in ("cn-east", "cn-north", "cn-south"):
        said = backed_up("ledger", "verify", "--region", region)
        assert said.code == 0 and backed_up.backup_id in said.out and region in said.out
    anchor = backed_up("ledger", "verify", "--region", "cn-east", "--json").json["anchor"]
    head = backed_up.rig.get(backed_up.backup_id).manifest.ledger_head
    assert head and anchor["head"] == {"seq": head["seq"], "hash": head["hash"]}


def test_a_cut_end_is_found_by_the_head_that_lies_in_a_region(backed_up: Desk) -> None:
    head = backed_up.rig.get(backed_up.backup_id).manifest.ledger_head
    assert head
    _cut_after(backed_up, int(head["seq"]) - 1)  # type: ignore[arg-type]
    assert backed_up("ledger", "verify").code == 0, "the database by itself cannot know"
    said = backed_up("ledger", "verify", "--region", "cn-south")
    assert said.code == 1 and "cut from the end" in said.out and f"record {head['seq']}" in said.out


def test_the_region_is_asked_and_not_the_catalogue_of_the_same_database(backed_up: Desk) -> None:
    first = backed_up.rig.get(backed_up.backup_id).manifest.ledger_head
    second = backed_up.rig.back_up("media", "run-2").backup_id
    head = backed_up.rig.get(second).manifest.ledger_head
    assert first and head and int(head["seq"]) > int(first["seq"]) + 1  # type: ignore[arg-type]
    _cut_after(backed_up, int(first["seq"]))  # type: ignore[arg-type]
    with connect(backed_up.rig.warehouse, application_name="tests") as conn:
        conn.execute(f"delete from vault.backups where backup_id = '{second}'".encode())
    assert [r["backup_id"] for r in backed_up("backup", "list", "--json").json] == [backed_up.backup_id]
    said = backed_up("ledger", "verify", "--region", "cn-east")
    assert said.code == 1 and "cut from the end" in said.out and second in said.out


def test_the_highest_head_of_all_sources_is_the_one_that_counts(backed_up: Desk) -> None:
    """A backup that began later may have ended earlier, with a lower head."""
    rig, region = backed_up.rig, backed_up.rig.regions[0]
    manifest = rig.get(backed_up.backup_id).manifest
    later = new_backup_id("zeta", manifest.started_at + timedelta(seconds=1), os.urandom(4))
    low = sign_head(Head(1, _hash(_stored(backed_up)[0])), rig.keys.signing_key, NOW)
    text = json.dumps({**manifest.to_json(), "ledger_head": low.model_dump(mode="json")})
    other = from_json(json.loads(text.replace(backed_up.backup_id, later).replace("media", "zeta")))
    path = BackupPath("", "zeta", later)
    backed_up.overwrite(region, path.manifest_key, sign(other, rig.keys.signing_key))
    said = backed_up("ledger", "verify", "--region", "cn-east", "--json")
    assert (said.code, said.json["problems"]) == (0, [])
    anchor = said.json["anchor"]
    assert anchor["backup_id"] == backed_up.backup_id and anchor["head"]["seq"] > 1


@pytest.mark.parametrize("entropy", [bytes(4), b"\xff" * 4])
def test_of_two_begun_in_the_same_second_the_higher_head_counts(backed_up: Desk, entropy: bytes) -> None:
    rig, region = backed_up.rig, backed_up.rig.regions[0]
    manifest = rig.get(backed_up.backup_id).manifest
    twin = new_backup_id("media", manifest.started_at, entropy)
    low = sign_head(Head(1, _hash(_stored(backed_up)[0])), rig.keys.signing_key, NOW)
    text = json.dumps({**manifest.to_json(), "ledger_head": low.model_dump(mode="json")})
    other = from_json(json.loads(text.replace(backed_up.backup_id, twin)))
    backed_up.overwrite(region, BackupPath("", "media", twin).manifest_key, sign(other, rig.keys.signing_key))
    said = backed_up("ledger", "verify", "--region", "cn-east", "--json")
    assert (said.code, said.json["problems"]) == (0, [])
    assert said.json["anchor"]["backup_id"] == backed_up.backup_id


def _hash(entry: str) -> str:
    return hashlib.sha256(entry.encode()).hexdigest()


def test_nothing_to_compare_with_is_not_all_right(desk: Desk) -> None:
    _fill(desk, 2)
    said = desk("ledger", "verify", "--region", "cn-east")
    assert said.code == 1 and "intact: 2 records" in said.out
    assert "NOT COMPARED" in said.out and "cn-east holds no manifest" in said.out
    as_json = desk("ledger", "verify", "--region", "cn-east", "--json")
    assert as_json.code == 1 and as_json.json["ok"] is False and as_json.json["anchor"] is None
    assert "cn-east holds no manifest" in as_json.json["problems"][0]


def test_a_region_that_does_not_answer_is_not_all_right(
    backed_up: Desk, region_servers: list[LocalRegion]
) -> None:
    region_servers[0].stop()
    said = backed_up("ledger", "verify", "--region", "cn-east")
    assert said.code == 1 and "NOT COMPARED" in said.out and "cn-east could not be asked" in said.out
    assert "intact" in said.out and said.err == ""


def test_an_altered_manifest_anchors_nothing(backed_up: Desk) -> None:
    backed_up.overwrite(backed_up.rig.regions[0], backed_up.manifest_key, b"{}")
    said = backed_up("ledger", "verify", "--region", "cn-east")
    assert said.code == 1 and "NOT COMPARED" in said.out and backed_up.backup_id in said.out


def test_a_manifest_under_another_name_anchors_nothing(backed_up: Desk) -> None:
    """An old manifest, put where a newer one would lie, must not hide that the newer one is gone."""
    rig = backed_up.rig
    region, manifest = rig.regions[0], rig.get(backed_up.backup_id).manifest
    moved = BackupPath("", "media", new_backup_id("media", manifest.started_at + timedelta(days=1), bytes(4)))
    backed_up.overwrite(region, moved.manifest_key, sign(manifest, rig.keys.signing_key))
    said = backed_up("ledger", "verify", "--region", "cn-east")
    assert said.code == 1 and f"is the manifest of {backed_up.backup_id}" in said.out


def test_an_unknown_region_is_not_done(desk: Desk) -> None:
    said = desk("ledger", "verify", "--region", "cn-west")
    assert (said.code, said.out) == (3, "") and "cn-east, cn-north, cn-south" in said.err


# -- list --------------------------------------------------------------------------------------------------


def test_each_line_is_exactly_the_text_that_was_hashed(desk: Desk) -> None:
    _fill(desk, 3, text="潮水 \U0001f30a é \u3000 \x1b[31m\n")
    said = desk.process("ledger", "list", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (said.code, said.err) == (0, "")
    assert said.out == "".join(f"{entry}\n" for entry in _stored(desk))
    hashes = [r["hash"] for r in desk.rig.query("select hash from evidence.ledger order by seq")]
    assert [_hash(line) for line in said.out.splitlines()] == hashes


def test_the_list_can_be_filtered(desk: Desk) -> None:
    _fill(desk, 4)
    with connect(desk.rig.warehouse, application_name="tests") as conn:
        ledger.append(conn, kind="test.other", subject="subject 0", body={}, now=NOW)

    def seqs(*options: str) -> list[int]:
        return [json.loads(line)["seq"] for line in desk("ledger", "list", *options).out.splitlines()]

    assert seqs() == [1, 2, 3, 4, 5]
    assert seqs("--since", "3") == [3, 4, 5]
    assert seqs("--kind", "test.other") == [5]
    assert seqs("--subject", "subject 0") == [1, 5]
    assert seqs("--subject", "subject 0", "--kind", "test.fact", "--since", "2") == []


def test_more_records_than_a_page_are_listed_in_order(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewatch.evidence.export._PAGE", 2)
    _fill(desk, 5)
    assert desk("ledger", "list").out.splitlines() == _stored(desk)


def test_an_altered_text_is_listed_as_it_stands_in_one_line(desk: Desk) -> None:
    _fill(desk, 2)
    _as_superuser(desk, "update evidence.ledger set entry = E'{\"at\": 1}\\n\\x1b[31mfoo' where seq = 1")
    lines = desk("ledger", "list").out.splitlines()
    assert lines == ['{"at": 1}\\u000a\\u001b[31mfoo', _stored(desk)[1]]


def test_the_list_goes_into_a_file_whole_or_not_at_all(desk: Desk, tmp_path: Path) -> None:
    _fill(desk, 3)
    file = tmp_path / "out" / "evidence.jsonl"
    said = desk("ledger", "list", "--output", str(file))
    assert (said.code, said.out) == (3, "") and "No such file or directory" in said.err
    file.parent.mkdir()
    file.write_text("before")
    said = desk("ledger", "list", "--output", str(file))
    assert (said.code, said.out) == (0, "") and file.read_text().splitlines() == _stored(desk)
    _as_superuser(desk, "alter table evidence.ledger rename to gone")
    assert desk("ledger", "list", "--output", str(file)).code == 3
    assert len(file.read_text().splitlines()) == 3 and [p.name for p in file.parent.iterdir()] == [file.name]
