"""The gate over a run, its report, and the person who signs it."""

import json
import threading
from typing import Any

import pytest
from drill_rig import Shop, run

from tidewatch.core.canonical import canonical_bytes, sha256_hex
from tidewatch.core.errors import ConfigError, GateFailed, NotFound, TidewatchError
from tidewatch.evidence.findings import open_findings
from tidewatch.evidence.ledger import records, verify
from tidewatch.restore.checks import Check
from tidewatch.restore.drill import Selection, plan, run_test
from tidewatch.restore.gate import judge_run
from tidewatch.restore.report import AlreadySigned, make_report, reports
from tidewatch.restore.results import Planned
from tidewatch.restore.signoff import SignOffRefused, sign, signoff_of
from tidewatch.restore.trial import Trial
from tidewatch.vault.manifest import RunRef

PICTURES = Selection(("pictures",))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> Any:
    """Tests that take no time: what restoring gave is said by `wrong`, region -> check."""
    wrong: dict[str, Check] = {}

    def restored(ctx: Any, planned: Planned, *_: object) -> Trial:
        check = wrong.get(planned.region, Check("tables", True, "2 tables", "2 tables"))
        return Trial(
            "0" * 64, shop.rig.clock(), {"fetch": 0.5, "load": 1.0, "check": 0.25}, [check], [], 1.75
        )

    monkeypatch.setattr("tidewatch.restore.drill.restore_and_check", restored)
    return wrong


def made(shop: Shop, run_id: str, selection: Selection = PICTURES) -> None:
    for planned in plan(shop.ctx, run_id, selection, older=True):
        run_test(shop.ctx, planned, run(run_id), shop.targets)


def kinds(shop: Shop, run_id: str) -> list[str]:
    return shop.rig.kinds(run_id)


def test_a_good_run_passes_its_gate_and_its_report_is_signed_by_another_person(
    shop: Shop, quick: dict[str, Check]
) -> None:
    made(shop, "good")
    verdict = judge_run(shop.ctx, run("good"), PICTURES)
    assert verdict.passed and not verdict.warnings and not verdict.untested
    report = make_report(shop.ctx, run("good"), PICTURES, started_by="wang.wei")
    assert (report.passed, report.tests, report.failed) == (True, 3, 0)
    assert report.sha256 == sha256_hex(report.document.encode())
    assert canonical_bytes(json.loads(report.document)) == report.document.encode()
    assert [r["region"] for r in report.content["results"]] == ["cn-east", "cn-north", "cn-south"]
    assert report.content["results"][0]["rto"]["phases"] == {"fetch": 0.5, "load": 1.0, "check": 0.25}
    assert make_report(shop.ctx, run("good"), PICTURES, started_by="wang.wei") == report

    say: dict[str, Any] = {"decision": "signed", "via": "console", "now": shop.ctx.now()}
    with pytest.raises(SignOffRefused, match="started run good and may not sign"):
        sign(shop.ctx, "good", by="Wang.Wei ", **say)
    with pytest.raises(SignOffRefused, match="is not the one that was read"):
        sign(shop.ctx, "good", by="li.na", report_sha256="0" * 64, **say)
    given = sign(shop.ctx, "good", by="li.na", report_sha256=report.sha256, **say)
    assert (given.decision, given.signed_by, given.report_sha256) == ("signed", "li.na", report.sha256)
    assert sign(shop.ctx, "good", by="li.na", **say) == given, "said again"
    with pytest.raises(SignOffRefused, match="has been answered for"):
        sign(shop.ctx, "good", by="zhao.min", **say)
    assert kinds(shop, "good") == ["gate.judged", "restore.reported", "restore.signed"]
    with shop.ctx.connect() as conn:
        assert verify(conn).ok
        [signed] = records(conn, kind="restore.signed", subject="good")
        assert signed.body["report_sha256"] == report.sha256
        [anchored] = records(conn, since_seq=given.ledger_seq, kind="ledger.anchored")
        assert anchored.body["seq"] == given.ledger_seq, "the head that the sign-off made"
    assert all(place["state"] == "verified" for place in anchored.body["places"])


def test_a_failed_test_fails_the_gate_and_stands_in_the_report_after_a_rerun_passed(
    shop: Shop, quick: dict[str, Check]
) -> None:
    quick["cn-north"] = Check("tables", False, "2 rows", "1 row", "table <script>.posts", 1)
    made(shop, "bad")
    verdict = judge_run(shop.ctx, run("bad"), PICTURES)
    assert not verdict.passed
    with pytest.raises(GateFailed) as refused:
        verdict.raise_if_failed()
    assert "tests.passed" in refused.value.found and "checks.ok" in refused.value.found
    assert "pictures" in refused.value.found and "cn-north" in refused.value.found
    report = make_report(shop.ctx, run("bad"), PICTURES, started_by=None)
    assert (report.passed, report.tests, report.failed) == (False, 3, 1)
    assert [f["key"] for f in report.content["open_findings"]] == ["restore.test/pictures/cn-north/latest"]

    quick.clear()
    run_test(shop.ctx, Planned("pictures", "cn-north", "latest", shop.pictures), run("bad"), shop.targets)
    repaired = judge_run(shop.ctx, run("bad"), PICTURES)
    assert repaired.passed and "failed_attempts" in repaired.warnings[0]
    again = make_report(shop.ctx, run("bad"), PICTURES, started_by=None)
    assert (again.passed, again.tests, again.failed) == (True, 4, 1)
    assert [r["status"] for r in again.content["results"] if r["region"] == "cn-north"] == [
        "failed",
        "passed",
    ]

    sign(shop.ctx, "bad", decision="refused", by="li.na", note="why 1?", via="cli", now=shop.ctx.now())
    assert make_report(shop.ctx, run("bad"), PICTURES, started_by=None).sha256 == again.sha256
    run_test(shop.ctx, Planned("pictures", "cn-north", "latest", shop.pictures), run("bad"), shop.targets)
    with pytest.raises(AlreadySigned):
        make_report(shop.ctx, run("bad"), PICTURES, started_by=None)


def test_what_was_not_tested_fails_the_gate_and_is_a_finding_until_it_is(
    shop: Shop, quick: dict[str, Check]
) -> None:
    for planned in plan(shop.ctx, "part", PICTURES, older=True)[:2]:
        run_test(shop.ctx, planned, run("part"), shop.targets)
    verdict = judge_run(shop.ctx, run("part"), PICTURES)
    assert not verdict.passed and verdict.untested == (("pictures", "cn-south"),)
    assert "coverage.tested" in verdict.failures[0]
    with shop.ctx.connect() as conn:
        assert [f.key for f in open_findings(conn)] == ["restore.untested/pictures/cn-south"]
    made(shop, "whole")
    assert judge_run(shop.ctx, run("whole"), PICTURES).passed
    with shop.ctx.connect() as conn:
        assert open_findings(conn) == []
    nothing = judge_run(shop.ctx, run("nothing"), PICTURES)
    assert len(nothing.untested) == 3 and not nothing.passed
    report = make_report(shop.ctx, run("nothing"), PICTURES, started_by=None)
    assert (report.passed, report.tests) == (False, 0)
    made(shop, "nothing")
    judge_run(shop.ctx, run("nothing"), PICTURES)


def test_a_target_that_is_missed_fails_the_gate(shop: Shop, quick: dict[str, Check]) -> None:
    strict = shop.targets.model_copy(
        update={"default": shop.targets.default.model_copy(update={"rto_seconds": 1})}
    )
    for planned in plan(shop.ctx, "slow", PICTURES, older=True):
        assert not run_test(shop.ctx, planned, run("slow"), strict).passed
    verdict = judge_run(shop.ctx, run("slow"), PICTURES)
    assert any("tests.rto_ratio" in failure for failure in verdict.failures)
    made(shop, "fast")


def test_nobody_s_silence_is_a_yes_and_a_late_signature_counts(shop: Shop, quick: dict[str, Check]) -> None:
    made(shop, "late")
    judge_run(shop.ctx, run("late"), PICTURES)
    now = shop.ctx.now()
    with pytest.raises(NotFound, match="no report of run late"):
        sign(shop.ctx, "late", decision="signed", by="li.na", via="cli", now=now)
    report = make_report(shop.ctx, run("late"), PICTURES, started_by="li.na")
    unseen = [{"decision": "signed", "by": by} for by in (None, " ", "\u200b", "\udcff", "x" * 201)]
    for wrong in (*unseen, {"decision": "unsigned", "by": "li.na"}):
        with pytest.raises(ConfigError, match="nobody's silence"):
            sign(shop.ctx, "late", via="cli", now=now, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="note"):
        sign(shop.ctx, "late", decision="refused", by="x", via="cli", now=now)
    given = sign(shop.ctx, "late", decision="unsigned", by=None, via="timeout", now=now)
    assert (given.decision, given.signed_by) == ("unsigned", None)
    [told] = [n for n in shop.rig.notices() if n["fact"].startswith("restore.unsigned/late")]
    assert told["severity"] == "warning"
    late = sign(shop.ctx, "late", decision="signed", by="zhao.min", via="cli", now=shop.ctx.now())
    with shop.ctx.connect() as conn:
        assert signoff_of(conn, "late") == late
        shown = {r.run_id: r for r in reports(conn)}
    assert (shown["late"].decision, shown["late"].signed_by) == ("signed", "zhao.min")
    assert shown["late"].report_sha256 == report.sha256
    assert sign(shop.ctx, "late", decision="unsigned", by=None, via="timeout", now=now) == late


def test_without_a_signing_key_or_a_region_the_word_of_the_person_is_kept(
    shop: Shop, quick: dict[str, Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    made(shop, "keyless")
    make_report(shop.ctx, run("keyless"), PICTURES, started_by=None)
    monkeypatch.setattr(
        shop.rig,
        "settings",
        shop.rig.settings.model_copy(update={"signing_key_file": shop.rig.home / "no.pem"}),
    )
    sign(shop.ctx, "keyless", decision="signed", by="li.na", via="cli", now=shop.ctx.now())
    assert any("was not anchored now" in line for line in shop.said)
    assert kinds(shop, "keyless") == ["restore.reported", "restore.signed"]


def test_a_report_that_is_signed_while_another_is_made_stays_the_one_that_was_signed(
    shop: Shop, quick: dict[str, Check]
) -> None:
    made(shop, "both")
    before = make_report(shop.ctx, run("both"), PICTURES, started_by=None)
    run_test(shop.ctx, Planned("pictures", "cn-north", "latest", shop.pictures), run("both"), shop.targets)
    ended: list[object] = []

    def remake() -> None:
        try:
            ended.append(make_report(shop.ctx, run("both"), PICTURES, started_by=None))
        except TidewatchError as error:
            ended.append(error)

    with shop.ctx.connect() as signing:
        signing.execute("select from restore.reports where run_id = 'both' for update")
        remaking = threading.Thread(target=remake)
        remaking.start()
        with shop.ctx.connect() as looking:
            looking.autocommit = True
            waits = "select from pg_locks where not granted and pid <> pg_backend_pid()"
            while looking.execute(waits).fetchone() is None and remaking.is_alive():
                pass
        signing.execute(
            "insert into restore.signoffs values ('both', 'signed', 'li.na', '', 'cli', %s, now(), 1)",
            (before.sha256,),
        )
    remaking.join()
    assert isinstance(ended[0], AlreadySigned)
    with shop.ctx.connect() as conn:
        [known] = [r for r in reports(conn) if r.run_id == "both"]
    assert (known.sha256, known.report_sha256) == (before.sha256, before.sha256)


def test_nobody_goes_on_with_the_run_of_somebody_else_and_signs_it(
    shop: Shop, quick: dict[str, Check]
) -> None:
    made(shop, "theirs")
    latest = Planned("pictures", "cn-north", "latest", shop.pictures)
    by_hand = RunRef(dag_id="cli", run_id="theirs")
    with pytest.raises(ConfigError, match="run theirs belongs to test_restores"):
        run_test(shop.ctx, latest, by_hand, shop.targets)
    with pytest.raises(ConfigError, match="belongs to test_restores"):
        judge_run(shop.ctx, by_hand, PICTURES)
    with pytest.raises(ConfigError, match="belongs to test_restores"):
        make_report(shop.ctx, by_hand, PICTURES, started_by="li.na")
    make_report(shop.ctx, run("theirs"), PICTURES, started_by="wang.wei")
    run_test(shop.ctx, latest, run("theirs"), shop.targets)
    with pytest.raises(ConfigError, match=r"was started by wang\.wei"):
        make_report(shop.ctx, run("theirs"), PICTURES, started_by="li.na")


@pytest.mark.parametrize("run_id", ["", " ", "two\nlines", "\u200b", "x" * 251, "\udcff"])
def test_a_run_that_could_not_be_reported_is_not_begun(shop: Shop, run_id: str) -> None:
    with pytest.raises(ConfigError, match="cannot have this id"):
        plan(shop.ctx, run_id, PICTURES, older=True)


@pytest.mark.parametrize("name", ["ＷＡＮＧ．ｗｅｉ", "wang.wei\u200b", "wang. wei"])
def test_the_one_who_started_a_run_does_not_sign_it_in_another_spelling(
    shop: Shop, quick: dict[str, Check], name: str
) -> None:
    make_report(shop.ctx, run("spelt"), PICTURES, started_by="wang.wei")
    with pytest.raises(SignOffRefused, match="may not sign"):
        sign(shop.ctx, "spelt", decision="signed", by=name, via="console", now=shop.ctx.now())
