"""The stand-alone verifier finds each way to falsify the evidence, tried by doing it."""

import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from audit_desk import (
    SOURCE,
    Answer,
    as_zip,
    chained,
    check,
    codes,
    lines_of,
    put_anchor,
    rewritten,
    run,
    seal,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_tools import NOW, add, forge, triggers_off

from tidewatch.core.canonical import canonical_bytes, sha256_hex
from tidewatch.core.clock import iso
from tidewatch.core.database import connect, migrate
from tidewatch.core.errors import ConfigError
from tidewatch.core.regions import Region
from tidewatch.core.settings import load_settings
from tidewatch.core.signing import KeyRing, SigningKey
from tidewatch.evidence import verify_evidence
from tidewatch.evidence.anchoring import anchor
from tidewatch.evidence.continuity import hand_over, signed_bytes
from tidewatch.evidence.export import export
from tidewatch.evidence.ledger import append, head, records
from tidewatch.evidence.record import Head
from tidewatch.local.postgres import LocalPostgres

KEY, NEXT, FOREIGN = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()
HOSTILE = "观潮 \x1b[31m[bold]\u202e\n</script> \x00 \U0001f30a"


@dataclass(frozen=True)
class Case:
    """An export of nine records, pinned at 5 and at 8 in two regions; the key changes with record 7."""

    home: Path

    @property
    def export(self) -> Path:
        return self.home / "export"

    @property
    def east(self) -> Path:
        return self.home / "east"

    @property
    def north(self) -> Path:
        return self.home / "north"

    @property
    def key(self) -> Path:
        return self.home / "auditor.pem"

    @property
    def lines(self) -> list[bytes]:
        return lines_of(self.export)

    def check(self, *arguments: str) -> dict[str, Any]:
        return check(self.export, self.key, self.east, self.north, arguments=arguments)

    def run(self, *arguments: str) -> Answer:
        places = ("--region", str(self.east), "--region", str(self.north))
        return run(self.home / "desk", str(self.export), "--key", str(self.key), *places, *arguments)


@pytest.fixture(scope="module")
def original(pg_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Case:
    case = Case(tmp_path_factory.mktemp("audit"))
    pg_server.create_database("audit")
    with connect(pg_server.dsn("audit"), application_name="tests") as conn:
        migrate(conn, load_settings().sql_dir / "migrations")
        conn.commit()
        for n in range(1, 10):
            if n == 5:
                append(
                    conn, kind="test.fact", subject="hostile", body={HOSTILE: [1.5, 1e-7, HOSTILE]}, now=NOW
                )
            elif n == 7:
                body = hand_over(KEY, NEXT.public, NOW)
                append(conn, kind=body.KIND, subject="key", body=body, now=NOW)
            else:
                add(conn, n)
            conn.commit()
            if n in (5, 8):
                signer = KEY if n == 5 else NEXT
                for region in (case.east, case.north):
                    put_anchor(region, head(conn), signer, NOW + timedelta(days=n))
                conn.commit()
        export(conn, case.export, NEXT, KeyRing((KEY.public, NEXT.public)), by="Li Wei", now=NOW)
    KEY.public.save(case.key)
    return case


@pytest.fixture
def case(original: Case, tmp_path: Path) -> Case:
    shutil.copytree(original.home, tmp_path / "case")
    return Case(tmp_path / "case")


# -- what is sound -----------------------------------------------------------------------------------------


def test_a_sound_export_is_confirmed_by_the_file_alone_in_both_forms(case: Case) -> None:
    said = case.run()
    assert (said.code, said.err) == (0, ""), said.out
    assert "INTACT" in said.out and "完整" in said.out
    assert "9 records, the last is 9" in said.out
    assert "record 9 to 9 are pinned" in said.out.replace("records", "record")
    assert "key " + KEY.public.key_id + " handed over to " + NEXT.public.key_id in said.out
    assert "does not prove" in said.out.lower() or "Not proved" in said.out
    as_json = case.run("--json").json
    assert (as_json["verdict"], as_json["pinned_to"], as_json["records"]) == ("intact", 8, 9)
    zipped = as_zip(case.export, case.home / "export.zip")
    assert check(zipped, case.key, case.east)["exit_code"] == 0


def test_openssl_and_the_library_come_to_the_same(case: Case) -> None:
    assert case.run("--json").json["signatures_by"] == "openssl", "no site packages: no library"
    assert case.check("--signatures", "cryptography")["exit_code"] == 0
    (anchor_file, *_) = sorted((case.east / "anchors").iterdir())
    value = json.loads(anchor_file.read_bytes())
    value["signed_at"] = value["signed_at"].replace("2026", "2025")
    anchor_file.write_bytes(canonical_bytes(value))
    for how in ("openssl", "cryptography"):
        assert codes(case.check("--signatures", how)) == {"bad_signature"}


def test_without_anything_that_checks_signatures_nothing_is_confirmed(case: Case) -> None:
    alone = run(
        case.home / "desk", str(case.export), "--key", str(case.key), "--region", str(case.east), "--json",
        PATH="/nonexistent",
    )  # fmt: skip
    assert alone.code == 3
    assert "neither openssl 3 nor the library" in alone.json["not_checked"][0]


def test_an_openssl_that_says_yes_to_everything_is_not_believed(case: Case) -> None:
    false = case.home / "bin" / "openssl"
    false.parent.mkdir()
    false.write_text("#!/bin/sh\necho Signature Verified Successfully\n")
    false.chmod(0o755)
    given = (str(case.export), "--key", str(case.key), "--region", str(case.east), "--json")
    said = run(case.home / "desk", *given, PATH=str(false.parent))
    assert (said.code, said.json["signatures_by"]) == (3, None)


@pytest.mark.skipif(not shutil.which("python3.8"), reason="needs python3.8 on the PATH")
def test_it_runs_on_python_3_8(case: Case) -> None:
    python = shutil.which("python3.8")
    assert python is not None
    given = (str(case.export), "--key", str(case.key), "--region", str(case.east))
    first = run(case.home / "desk", *given, python=python, PYENV_VERSION=os.environ.get("PYENV_VERSION", ""))
    if "not found" in first.err or "not installed" in first.err:
        pytest.skip("python3.8 is only a name here")
    assert first.code == 0, first.err


def test_a_fingerprint_that_was_written_down_stands_for_the_key(case: Case) -> None:
    given = [str(case.export), "--region", str(case.east), "--fingerprint"]
    assert run(case.home / "desk", *given, KEY.public.fingerprint.upper()).code == 0
    other = run(case.home / "desk", *given, FOREIGN.public.fingerprint, "--json")
    assert other.code == 1
    assert "foreign_signature" in other.codes


def test_the_newest_key_alone_leaves_what_the_first_one_signed_unproved(case: Case) -> None:
    NEXT.public.save(case.key)
    result = case.check()
    assert codes(result) == {"foreign_signature"}
    assert {p["seq"] for p in result["problems"]} == {5}


def test_without_a_region_nothing_is_confirmed(case: Case) -> None:
    said = run(case.home / "desk", str(case.export), "--key", str(case.key))
    assert said.code == 3
    assert "NOT FULLY CHECKED" in said.out
    (case.home / "empty").mkdir()
    assert check(case.export, case.key, case.home / "empty")["exit_code"] == 3


def test_text_in_records_cannot_steer_the_terminal(case: Case) -> None:
    lines = case.lines
    lines[4] = lines[4].replace(b'"kind":"test.fact"', '"kind":"\u202e\\u001b[2J"'.encode())
    (case.east / "anchors" / "0\x1b[31m\n.json").write_text("{}")
    (case.export / "ledger.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    (case.export / "\x1b[31m\u202enew").write_text("x")
    said = case.run()
    assert said.code == 1
    assert not {"\x1b", "\u202e"} & set(said.out)
    assert "\\x1b[31m\\u202enew" in said.out
    assert said.out.isascii() is False
    assert case.run("--json").out.isascii()


@pytest.mark.parametrize("given", [[], ["--key", "nowhere.pem"], ["--fingerprint", "abc"]])
def test_wrong_use_is_said_as_such(case: Case, given: list[str]) -> None:
    said = run(case.home / "desk", str(case.export), *given)
    assert (said.code, said.out) == (2, "")
    assert said.err != "" and "Traceback" not in said.err


def test_what_is_no_export_is_said_as_such(case: Case) -> None:
    key = ("--key", str(case.key))
    for wrong in ("nothing", str(case.key)):
        assert run(case.home / "desk", wrong, *key).code == 2
    assert run(case.home / "desk", str(case.export), *key, "--region", "nothing").code == 2
    assert run(case.home / "desk", str(case.home / "empty"), *key).code == 2


# -- what is falsified -------------------------------------------------------------------------------------


def records_of(case: Case) -> list[dict[str, Any]]:
    return [json.loads(line) for line in case.lines]


def alter(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b'"n":3', b'"n":4'), *lines[3:]]


def delete(lines: list[bytes]) -> list[bytes]:
    return lines[:3] + lines[4:]


def insert(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[3].replace(b'"n":4', b'"n":40'), *lines[3:]]


def reorder(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def respell(lines: list[bytes]) -> list[bytes]:
    return [*lines[:8], lines[8].replace(b'{"at"', b'{ "at"')]


@pytest.mark.parametrize(
    ("falsify", "told"),
    [
        (alter, {"altered"}),
        (delete, {"deleted"}),
        (insert, {"altered", "reordered"}),
        (reorder, {"deleted", "reordered", "altered"}),
        (respell, {"altered"}),
    ],
)
def test_the_chain_alone_tells_even_when_the_signing_key_sealed_the_export_anew(
    case: Case, falsify: Callable[[list[bytes]], list[bytes]], told: set[str]
) -> None:
    seal(case.export, falsify(case.lines), NEXT)
    result = case.check()
    found = codes(result)
    assert result["exit_code"] == 1
    assert found & told and found <= told | {"rewritten", "export_altered", "truncated"}, result["problems"]
    said = case.run()
    assert said.code == 1
    assert "BROKEN" in said.out and "不可信" in said.out


@pytest.mark.parametrize(
    "change",
    [
        lambda rs: rs[2]["body"].update(n=99),
        lambda rs: rs.pop(3),
        lambda rs: rs.insert(3, {**rs[3], "subject": "put in"}),
        lambda rs: rs.__setitem__(slice(2, 4), [rs[3], rs[2]]),
    ],
    ids=["altered", "deleted", "inserted", "reordered"],
)
def test_a_chain_written_anew_and_sealed_by_the_signing_key_does_not_fit_the_anchors(
    case: Case, change: Callable[[list[dict[str, Any]]], None]
) -> None:
    seal(case.export, rewritten(case.lines, change), NEXT)
    result = case.check()
    assert "rewritten" in codes(result), result
    assert codes(result) <= {"rewritten", "truncated"}


@pytest.mark.parametrize("kept", [7, 4, 1])
def test_a_cut_end_is_found_by_the_heads_in_the_regions(case: Case, kept: int) -> None:
    seal(case.export, case.lines[:kept], KEY)
    result = case.check()
    assert codes(result) - {"foreign_signature"} == {"truncated"}
    assert result["problems"][-1]["text"].count("the end was cut off") == 1


def test_heads_of_the_days_after_an_export_was_given_do_not_make_it_a_cut_one(case: Case) -> None:
    at = NOW + timedelta(days=9)
    put_anchor(case.east, Head(12, "c" * 64), NEXT, at + timedelta(days=1))
    [problem] = case.check()["problems"]
    assert problem["code"] == "truncated"
    assert f"or it was exported before {iso(at + timedelta(days=1))}" in problem["text"]
    on_that_day = ("--received", at.astimezone(ZoneInfo("Asia/Shanghai")).isoformat())
    result = case.check(*on_that_day)
    assert result["exit_code"] == 0 and "after you were given the export" in " ".join(result["notes"])
    # What was signed before that moment counts, and so does a fork.
    put_anchor(case.north, Head(12, "d" * 64), NEXT, at + timedelta(days=2))
    assert codes(case.check(*on_that_day)) == {"fork"}
    put_anchor(case.north, Head(11, "d" * 64), NEXT, at)
    assert codes(case.check(*on_that_day)) == {"fork", "truncated"}
    for wrong in ("2026-11-22T16:00:00", "yesterday", "0001-01-01T00:00:00+14:00"):
        assert case.run("--received", wrong).code == 2


def test_cut_after_the_last_anchor_is_beyond_what_regions_can_tell_and_said_to_be(case: Case) -> None:
    seal(case.export, case.lines[:8], None)
    assert codes(case.check()) == {"bad_signature"}
    seal(case.export, case.lines[:8], NEXT)
    assert case.check()["exit_code"] == 0, "only the signature of the export stands for what is newer"
    assert "after the last head" in " ".join(verify_evidence.NOT_PROVED)


def test_an_export_signed_by_a_foreign_key_is_refused(case: Case) -> None:
    seal(case.export, case.lines, FOREIGN)
    assert codes(case.check()) == {"foreign_signature"}


def test_a_head_signed_by_a_foreign_key_is_refused(case: Case) -> None:
    put_anchor(case.east, Head(9, sha256_hex(case.lines[8])), FOREIGN, NOW)
    result = case.check()
    assert (codes(result), result["problems"][0]["seq"]) == ({"foreign_signature"}, 9)


def test_a_fork_between_regions_is_found_also_beyond_the_end(case: Case) -> None:
    put_anchor(case.north, Head(8, "f" * 64), NEXT, NOW)
    assert codes(case.check()) == {"fork", "rewritten"}
    assert "east" in case.run().out and "north" in case.run().out
    for region, digest in ((case.east, "a" * 64), (case.north, "b" * 64)):
        put_anchor(region, Head(12, digest), NEXT, NOW)
    assert "truncated" in codes(case.check())
    assert [p["seq"] for p in case.check()["problems"] if p["code"] == "fork"] == [8, 12]


def test_a_region_with_an_end_of_its_own_is_told_against_one_that_fits(case: Case) -> None:
    """What two installations that write to one region, or a database put back to an older state, leave."""
    (case.north / "anchors" / sorted(p.name for p in (case.north / "anchors").iterdir())[1]).unlink()
    put_anchor(case.north, Head(8, "f" * 64), NEXT, NOW)
    assert check(case.export, case.key, case.east)["exit_code"] == 0
    assert codes(check(case.export, case.key, case.north)) == {"rewritten"}
    assert codes(case.check()) == {"fork", "rewritten"}


def spaced(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: canonical_bytes({**v, "seq": 6}), "anchor_altered"),
        (lambda v: canonical_bytes({**v, "hash": "0" * 64}), "anchor_altered"),
        (lambda v: canonical_bytes({**v, "hash": v["hash"][:16] + "0" * 48}), "bad_signature"),
        (lambda v: canonical_bytes({**v, "signed_at": "2020-01-01T00:00:00.000000Z"}), "bad_signature"),
        (lambda v: canonical_bytes({**v, "more": 1}), "anchor_altered"),
        (lambda v: canonical_bytes({**v, "signature": {**v["signature"], "more": 1}}), "anchor_altered"),
        (lambda v: canonical_bytes({**v, "signature": {**v["signature"], "value": "AA"}}), "bad_signature"),
        (lambda v: canonical_bytes({**v, "signature": {**v["signature"], "key_id": None}}), "anchor_altered"),
        (spaced, "anchor_altered"),
        (lambda v: b"", "anchor_altered"),
        (lambda v: b"[" * 50_000, "anchor_altered"),
        (lambda v: b'"\xff"', "anchor_altered"),
    ],
)
def test_an_altered_anchor_is_found(case: Case, change: Callable[[Any], bytes], told: str) -> None:
    (_, path) = sorted((case.east / "anchors").iterdir())
    path.write_bytes(change(json.loads(path.read_bytes())))
    assert codes(case.check()) == {told}


def test_a_replaced_key_does_not_help_who_replaced_it(case: Case) -> None:
    """Everything anew with a key of one's own: ledger, anchors, keys.pem, export.json."""
    shutil.rmtree(case.east / "anchors")
    lines = rewritten(case.lines, lambda rs: rs[2]["body"].update(n=99))
    put_anchor(case.east, Head(9, sha256_hex(lines[8])), FOREIGN, NOW)
    (case.export / "keys.pem").write_bytes(FOREIGN.public.pem)
    document = json.loads((case.export / "export.json").read_bytes())
    document["files"]["keys.pem"] = sha256_hex(FOREIGN.public.pem)
    (case.export / "export.json").write_bytes(canonical_bytes(document))
    seal(case.export, lines, FOREIGN)
    result = check(case.export, case.key, case.east)
    assert codes(result) == {"foreign_signature"}
    assert len(result["problems"]) == 2


def test_a_hand_over_to_a_key_of_ones_own_is_found(case: Case) -> None:
    def take_over(records: list[dict[str, Any]]) -> None:
        records[6]["body"] = hand_over(FOREIGN, FOREIGN.public, NOW).as_json()

    seal(case.export, rewritten(case.lines, take_over), FOREIGN)
    assert codes(case.check()) == {"foreign_signature"}

    def pretend(records: list[dict[str, Any]]) -> None:
        body = hand_over(FOREIGN, FOREIGN.public, NOW).as_json()
        records[6]["body"] = {**body, "old_key_id": KEY.public.key_id}

    seal(case.export, rewritten(case.lines, pretend), FOREIGN)
    assert {"foreign_signature", "hand_over"} <= codes(case.check())

    def other_bytes(records: list[dict[str, Any]]) -> None:
        good = hand_over(KEY, NEXT.public, NOW).as_json()
        records[6]["body"] = {**good, "new_public_key": hand_over(KEY, FOREIGN.public, NOW).new_public_key}

    seal(case.export, rewritten(case.lines, other_bytes), FOREIGN)
    assert {"foreign_signature", "hand_over"} <= codes(case.check())

    def another_id(records: list[dict[str, Any]]) -> None:
        """Signed by the old key itself, and still no way to give one key the id of another."""
        good = hand_over(KEY, FOREIGN.public, NOW).as_json()
        text = signed_bytes(KEY.public.key_id, "0" * 16, good["new_public_key"], NOW)
        records[6]["body"] = {**good, "new_key_id": "0" * 16, "signature": KEY.sign(text).value}

    seal(case.export, rewritten(case.lines, another_id), KEY)
    assert "hand_over" in codes(check(case.export, case.key, case.east))


@pytest.mark.parametrize(
    "odd",
    [
        {"more": 1},
        {"body": [1]},
        {"seq": "3"},
        {"seq": True},
        {"seq": 3.5},
        {"seq": -3},
    ],
)
def test_a_line_that_is_no_record_is_found_however_well_it_is_chained_and_sealed(
    case: Case, odd: dict[str, Any]
) -> None:
    lines = [*case.lines[:2], canonical_bytes({**json.loads(case.lines[2]), **odd})]
    seal(case.export, lines, KEY)
    put_anchor(case.home / "west", Head(3, sha256_hex(lines[2])), KEY, NOW)
    assert codes(check(case.export, case.key, case.home / "west")) == {"altered"}


def test_a_number_given_twice_is_found_however_well_it_is_chained(case: Case) -> None:
    lines = case.lines[:3]
    again = {**json.loads(lines[1]), "prev": sha256_hex(lines[2])}
    seal(case.export, [*lines, canonical_bytes(again)], KEY)
    assert "reordered" in codes(check(case.export, case.key))


def test_the_export_of_another_installation_is_not_taken_for_this_one(case: Case, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(case.export, other)
    seal(other, chained([{"body": {"n": n}} for n in range(9)]), FOREIGN)
    assert codes(check(other, case.key, case.east)) >= {"foreign_signature", "rewritten"}
    seal(other, chained([{"body": {"n": n}} for n in range(9)]), NEXT)
    assert "rewritten" in codes(check(other, case.key, case.east))


def test_a_chain_that_says_another_was_lost_needs_an_explanation(case: Case) -> None:
    before = {"seq": 500, "hash": "e" * 64, "signed_at": "2026-12-01T00:00:00.000000Z", "key_id": "k"}
    lines = chained([{"kind": "catalog.rebuilt", "body": {"chain_before": before}}, {"body": {"n": 2}}])
    seal(case.export, lines, KEY)
    put_anchor(case.east, Head(2, sha256_hex(lines[1])), KEY, NOW + timedelta(days=30))
    result = check(case.export, case.key, case.east)
    assert result["exit_code"] == 1, "the head of 8 is of a key that this chain knows nothing of"
    NEXT.public.save(case.home / "next.pem")
    both = ("--key", str(case.home / "next.pem"))
    result = check(case.export, case.key, case.east, arguments=both)
    assert result["exit_code"] == 3
    assert "e" * 64 in result["not_checked"][0]
    known = ("--known-loss", "e" * 64 + "@2026-12-01T00:00:00.000000Z")
    assert check(case.export, case.key, case.east, arguments=(*both, *known))["exit_code"] == 0
    before["signed_at"] = "9999-01-01T00:00:00.000000Z"  # would set every head of the present chain aside
    lines = chained([{"kind": "catalog.rebuilt", "body": {"chain_before": before}}, {"body": {"n": 3}}])
    seal(case.export, lines, KEY)
    put_anchor(case.east, Head(2, sha256_hex(lines[1])), KEY, NOW + timedelta(days=31))
    again = check(case.export, case.key, case.east, arguments=(*both, *known))
    assert again["exit_code"] == 3 and "9999-01-01" in again["not_checked"][0]
    before["signed_at"] = "2026-12-01T00:00:00.000000Z"
    lines = chained([{"kind": "catalog.rebuilt", "body": {"chain_before": before}}, {"body": {"n": 2}}])
    seal(case.export, lines, KEY)
    put_anchor(case.east, Head(600, "d" * 64), KEY, NOW + timedelta(days=40))
    assert "truncated" in codes(check(case.export, case.key, case.east, arguments=both))


def test_heads_in_manifests_count_as_anchors_do(case: Case) -> None:
    (_, path) = sorted((case.east / "anchors").iterdir())
    value = json.loads(path.read_bytes())
    shutil.rmtree(case.east / "anchors")
    folder = case.east / "ops" / "2026" / "11" / "ops-20261122T030405Z-00000000"
    folder.mkdir(parents=True)
    manifest = {"manifest": {"backup_id": "x", "ledger_head": value}, "signature": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = check(case.export, case.key, case.east)
    assert (result["exit_code"], result["pinned_to"]) == (0, 8)
    seal(case.export, case.lines[:7], NEXT)
    assert codes(check(case.export, case.key, case.east)) == {"truncated"}
    (folder / "manifest.json").write_text(json.dumps({"manifest": {"ledger_head": None}}))
    assert check(case.export, case.key, case.east)["exit_code"] == 3


# -- any single change -------------------------------------------------------------------------------------

FILES = ("ledger.ndjson", "export.json", "keys.pem", "README.txt", "verify_evidence.py")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_single_change_of_a_file_of_the_export_is_found(
    original: Case, tmp_path: Path, data: st.DataObject
) -> None:
    """A byte changed, removed or put in, in any file of the export. Nothing of it may pass, and nothing may
    end the verifier with an error of its own."""
    work = tmp_path / "export"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(original.export, work)
    path = work / data.draw(st.sampled_from(FILES))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    what = data.draw(st.sampled_from(("change", "remove", "insert")))
    if what == "change":
        content[at] ^= data.draw(st.integers(1, 255))
    elif what == "remove":
        del content[at]
    else:
        content.insert(at, data.draw(st.integers(0, 255)))
    if bytes(content) == path.read_bytes():
        return
    path.write_bytes(content)
    assert check(work, original.key, original.east, original.north)["exit_code"] in (1, 2)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_single_change_of_an_anchor_is_found(original: Case, tmp_path: Path, data: st.DataObject) -> None:
    work = tmp_path / "east"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(original.east, work)
    path = data.draw(st.sampled_from(sorted((work / "anchors").iterdir())))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert check(original.export, original.key, work)["exit_code"] == 1


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_zip_never_confirms_something_else(
    original: Case, tmp_path: Path, data: st.DataObject
) -> None:
    """Of a ZIP file some bytes mean nothing (times, attributes): then the same records are confirmed."""
    target = as_zip(original.export, tmp_path / "export.zip")
    content = bytearray(target.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    target.write_bytes(content)
    result = check(target, original.key, original.east)
    if result["exit_code"] not in (1, 2):
        assert result["head"] == {"seq": 9, "hash": sha256_hex(original.lines[8])}


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
        | st.integers(-(2**53) + 1, 2**53 - 1),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)  # fmt: skip
def test_its_canonical_form_is_that_of_the_ledger(value: Any) -> None:
    try:
        text = canonical_bytes(value)
    except Exception:  # noqa: BLE001 - a value that the ledger refuses has no text to compare
        return
    assert verify_evidence.canonical(value) == text.decode()
    assert canonical_bytes(verify_evidence.parsed(text)) == text


def test_keys_are_in_the_order_of_utf_16_and_not_of_code_points() -> None:
    value = {"\uffee": 1, "\U0001f30a": 2}
    assert verify_evidence.canonical(value).encode() == canonical_bytes(value)
    assert verify_evidence.canonical(value).index("\U0001f30a") < verify_evidence.canonical(value).index(
        "\uffee"
    )


@pytest.mark.parametrize(
    "value", [5e-324, 1.7976931348623157e308, 1e21, 1e-7, 123456.789, -0.0, 1e-6, 2.5e20]
)
def test_numbers_at_the_ends_are_written_as_ecmascript_does(value: float) -> None:
    import rfc8785

    assert verify_evidence.canonical(value).encode() == rfc8785.dumps(value)


# -- the export itself -------------------------------------------------------------------------------------


def test_an_export_is_recorded_and_replaced_whole_or_not_at_all(warehouse: str, tmp_path: Path) -> None:
    ring, target = KeyRing((KEY.public,)), tmp_path / "out.zip"
    with connect(warehouse, application_name="tests") as conn:
        add(conn, 1)
        conn.commit()
        first = export(conn, target, KEY, ring, by="Li Wei", now=NOW)
        second = export(conn, target, KEY, ring, by="Li Wei", now=NOW)
        assert (first.records, second.records) == (1, 2)
        told = [r.body for r in records(conn, kind="evidence.exported")]
        assert [b["seq"] for b in told] == [1, 2]
        assert told[1]["manifest_sha256"] == second.manifest_sha256
        conn.commit()
        (tmp_path / "there").mkdir()
        with pytest.raises(ConfigError, match="cannot be written"):
            export(conn, tmp_path / "there", KEY, ring, by="Li Wei", now=NOW)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.zip", "there"]


def test_a_ledger_that_was_altered_in_the_database_is_exported_as_it_is_and_found(
    warehouse: str, tmp_path: Path
) -> None:
    with connect(warehouse, application_name="tests") as conn:
        for n in range(4):
            add(conn, n)
        pinned = head(conn)
        conn.commit()
        with triggers_off(conn):
            forge(conn, 4, {"body": {"n": "forged"}})
        conn.commit()
        export(conn, tmp_path / "e", KEY, KeyRing((KEY.public,)), by="x", now=NOW)
    KEY.public.save(tmp_path / "k.pem")
    put_anchor(tmp_path / "r", pinned, KEY, NOW)
    assert codes(check(tmp_path / "e", tmp_path / "k.pem", tmp_path / "r")) == {"rewritten", "export_altered"}


def test_it_reads_a_region_by_itself_and_sees_what_is_hidden_there(
    warehouse: str, three_regions: list[Region], tmp_path: Path
) -> None:
    region = three_regions[0]
    with connect(warehouse, application_name="tests") as conn:
        add(conn, 1)
        conn.commit()
        assert anchor(conn, [region], KEY, NOW, "daily") is not None
        export(conn, tmp_path / "e", KEY, KeyRing((KEY.public,)), by="x", now=NOW)
    KEY.public.save(tmp_path / "k.pem")
    address = region.address
    given = (
        str(tmp_path / "e"), "--key", str(tmp_path / "k.pem"), "--endpoint", str(address.endpoint_url),
        "--region", f"s3://{region.config.bucket}/{region.config.prefix}", "--json",
    )  # fmt: skip
    secrets = {"AWS_ACCESS_KEY_ID": address.access_key, "AWS_SECRET_ACCESS_KEY": address.secret_key}
    sound = run(tmp_path / "desk", *given, **secrets)
    assert (sound.code, sound.json["pinned_to"]) == (0, 1), sound
    (listed,) = region.store.list("")
    region.store.delete(listed.key)
    hidden = run(tmp_path / "desk", *given, **secrets)
    assert (hidden.code, hidden.codes, hidden.json["pinned_to"]) == (1, {"anchor_hidden"}, 1)
    (locked,) = [v for v in region.store.list_versions(listed.key) if not v.delete_marker]
    region.store.put(listed.key, region.store.read(listed.key, locked.version_id))
    assert run(tmp_path / "desk", *given, **secrets).code == 0, "the same head lies above it again"
    refused = run(tmp_path / "desk", *given, **{**secrets, "AWS_SECRET_ACCESS_KEY": "wrong"})
    assert refused.code == 3
    assert "403" in refused.json["not_checked"][0]
    assert run(tmp_path / "desk", *given).code == 2


def test_credentials_are_not_carried_to_where_a_region_points(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        result = check(case.export, case.key, arguments=("--region", "s3://b/p", "--endpoint", endpoint))
        server.shutdown()
    assert result["exit_code"] == 3
    assert "answers 302" in result["not_checked"][0]
    assert len(asked) == 1


def test_nobody_takes_an_export_out_without_a_name(warehouse: str, tmp_path: Path) -> None:
    with connect(warehouse, application_name="tests") as conn, pytest.raises(ConfigError, match="nobody"):
        export(conn, tmp_path / "e.zip", KEY, KeyRing((KEY.public,)), by=" ", now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_twice_in_a_zip_is_found_whichever_it_is(case: Case) -> None:
    for name in FILES:
        target = case.home / "twice.zip"
        genuine = (case.export / name).read_bytes()
        with zipfile.ZipFile(target, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr(name, b"something else")
            for path in sorted(case.export.iterdir()):
                archive.writestr(path.name, genuine if path.name == name else path.read_bytes())
        assert codes(check(target, case.key, case.east)) == {"export_altered"}, name


def test_what_unpacks_to_more_than_an_export_has_is_not_unpacked(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_evidence, "MAX_FILE", 20_000_000)
    with zipfile.ZipFile(case.home / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(case.export.iterdir()):
            archive.writestr(path.name, b"0" * 20_000_001 if path.name == "keys.pem" else path.read_bytes())
    (problem,) = check(case.home / "bomb.zip", case.key, case.east)["problems"]
    assert "larger than" in problem["text"]
    (case.export / "ledger.ndjson").write_bytes(b"\n" * 50_000)
    assert len(check(case.export, case.key, case.east)["problems"]) < 11_000


def test_pipes_and_directories_in_place_of_files_neither_hang_nor_hide_what_stands_after_them(
    case: Case,
) -> None:
    (case.east / "anchors" / "0000000000000001-aaaaaaaaaaaaaaaa.json").mkdir()
    os.mkfifo(case.east / "anchors" / "pipe.json")
    assert case.check()["exit_code"] == 0
    put_anchor(case.east, Head(20, "d" * 64), NEXT, NOW)
    assert codes(case.check()) == {"truncated"}
    (case.export / "README.txt").unlink()
    os.mkfifo(case.export / "README.txt")
    assert "export_altered" in codes(case.check())


@pytest.mark.parametrize(
    "endpoint", ["http://[::1", "localhost:9000", "file:///etc", "https://h:x", "http://"]
)
def test_an_endpoint_that_is_none_is_wrong_use(case: Case, endpoint: str) -> None:
    secrets = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    given = (str(case.export), "--key", str(case.key), "--region", "s3://b/p", "--endpoint", endpoint)
    said = run(case.home / "desk", *given, **secrets)
    assert (said.code, "Traceback" in said.err) == (2, False), said


def test_a_region_that_breaks_off_is_something_that_was_not_checked(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"<a>")

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        result = check(case.export, case.key, arguments=("--region", "s3://b/p", "--endpoint", endpoint))
        server.shutdown()
    assert result["exit_code"] == 3


def test_an_answer_that_nobody_reads_is_none(case: Case) -> None:
    command = [
        sys.executable,
        str(SOURCE),
        str(case.export),
        "--key",
        str(case.key),
        "--region",
        str(case.east),
    ]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, b"")


def test_it_imports_nothing_of_ours() -> None:
    source = Path(verify_evidence.__file__).read_text(encoding="utf-8")
    imports = [line for line in source.splitlines() if line.lstrip().startswith(("import ", "from "))]
    outside = [line for line in imports if line.startswith("from tidewatch") or "tidewatch." in line]
    assert outside == []
