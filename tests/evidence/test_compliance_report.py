"""The compliance report of a month: what it must show, and that it shows the same again."""

import csv
import hashlib
import io
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from psycopg.types.json import Jsonb
from pypdf import PdfReader
from report_history import AFTER, PROJECT, REGIONS, SHA, History, a_month, at, november

from tidewatch.core.database import connect
from tidewatch.core.errors import AlreadyExists, Busy, ConfigError
from tidewatch.core.regions import Region
from tidewatch.evidence import ledger
from tidewatch.evidence.findings import close_finding
from tidewatch.evidence.report import calendar, gaps, store, view
from tidewatch.evidence.report import make as making
from tidewatch.evidence.report.blocks import Calendar
from tidewatch.evidence.report.config import ControlsFile
from tidewatch.evidence.report.document import BackupFacts, schema_text
from tidewatch.evidence.report.make import Made, copy_to_regions, make
from tidewatch.evidence.report.period import period_of
from tidewatch.local.postgres import LocalPostgres

EVIL = '<script>alert(1)</script> \u202egnp.exe #panic("x") $x$ *b* @ref \x07\x1b[31m ' + "W" * 300


@pytest.fixture
def history(warehouse: str, tmp_path: Path) -> History:
    return History(warehouse, tmp_path)


@pytest.fixture(scope="module")
def november_2026(
    pg_server: LocalPostgres, _migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[History, Made]]:
    """A month of three sources with hostile names in it, and its first report. Read only."""
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(pg_server.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated}".encode())
    history = a_month(History(pg_server.dsn(name), tmp_path_factory.mktemp("report")))
    history.test(
        "ops", "cn-east", date(2026, 11, 6), "ops-older", status="failed", choice="older", rto_seconds=4000.0,
        checks=Jsonb([{"name": "rows", "ok": False, "expected": "12 rows", "found": "11",
                       "where": "ops.posts"}]),
    )  # fmt: skip
    history.insert(
        "restore.reports", run_id="scheduled__restores", dag_id="test_restores", passed=False,
        made_at=at(date(2026, 11, 5), 9), tests=10, failed=1, document="{}", sha256=SHA,
    )  # fmt: skip
    history.insert(
        "restore.signoffs", run_id="scheduled__restores", decision="signed", signed_by="陈瑜", note="=1+1",
        via="console", report_sha256=SHA, signed_at=at(date(2026, 11, 6), 9), ledger_seq=3,
    )  # fmt: skip
    history.insert(
        "vault.holds", hold_id="hold-1", source="ops", holder="=cmd|' /C calc'!A0", reason=EVIL,
        placed_at=at(date(2026, 11, 10)), placed_by="@sum(1)",
    )  # fmt: skip
    history.record("keys.rotated", "signing", date(2026, 11, 12), {
        "old_key_id": "a" * 16, "new_key_id": "b" * 16, "new_public_key": "A" * 43 + "=",
        "rotated_at": "2026-11-12T00:00:00.000000Z", "signature": "A" * 86 + "==",
    })  # fmt: skip
    yield history, make(history.ctx, "2026-11")
    pg_server.drop_database(name)


def _text(made: Made, language: str) -> str:
    pages = PdfReader(io.BytesIO(made.files[f"report.{language}.pdf"])).pages
    return "\n".join(page.extract_text() for page in pages)


def _rows(made: Made, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(made.files[name].decode("utf-8-sig"))))


def _states(made: Made, source: str) -> dict[int, str]:
    return {d.day.day: d.state for d in made.facts.days if d.source == source}


def _findings(history: History) -> list[dict[str, Any]]:
    return history.query("select * from evidence.findings order by finding_id")


# -- every backup, every day --------------------------------------------------------------------------------


def test_every_backup_of_the_period_appears_exactly_once(november_2026: tuple[History, Made]) -> None:
    history, made = november_2026
    rows = history.query(
        "select backup_id from vault.backups where coalesce(snapshot_at, started_at) >= %s "
        "and coalesce(snapshot_at, started_at) < %s",
        at(date(2026, 11, 1), 0),
        at(date(2026, 12, 1), 0),
    )
    expected = Counter(r["backup_id"] for r in rows)
    assert len(expected) == 3 * 30 - 1
    document = json.loads(made.files["report.json"])["facts"]
    assert Counter(b["backup_id"] for b in document["backups"]) == expected
    assert Counter(r["backup_id"] for r in _rows(made, "backups.csv")) == expected
    assert Counter(b for d in document["days"] for b in d["backups"]) == expected
    assert Counter((r["backup_id"], r["region"]) for r in _rows(made, "copies.csv")) == Counter(
        {(b, r): 1 for b in expected for r in REGIONS}
    )


def test_every_day_of_every_source_is_covered_or_a_finding(november_2026: tuple[History, Made]) -> None:
    history, made = november_2026
    open_keys = {f["key"] for f in _findings(history)}
    assert len(made.facts.days) == 3 * 30
    for day in made.facts.days:
        assert (day.state == "covered") == (day.finding is None)
        assert day.finding is None or day.finding in open_keys
    assert {(d.source, d.day.day, d.state) for d in made.facts.days if d.state != "covered"} == {
        ("ops", 9, "missing"),
        ("airflow_metadata", 14, "refused"),
    }
    assert open_keys == {"backup.missing/ops/2026-11-09", "backup.missing/airflow_metadata/2026-11-14"}
    assert {f.key for f in made.facts.findings} == open_keys


STATUSES = (
    "staging",
    "staged",
    "sealed",
    "degraded",
    "failed",
    "suspect",
    "abandoned",
    "accepted",
    "rejected",
)


@given(
    made=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 33), st.sampled_from(STATUSES)), max_size=40
    ),
    configured=st.sets(st.sampled_from("abcd")),
    now=st.integers(1, 40),
)
def test_whatever_was_made_each_judged_day_is_covered_or_a_finding_and_no_other(
    made: list[tuple[str, int, str]], configured: set[str], now: int
) -> None:
    first = date(2026, 10, 31)
    period = period_of("2026-11", "Asia/Shanghai", at(first + timedelta(days=now + 1), 9))
    facts = [
        BackupFacts.model_construct(
            backup_id=f"{n}", source=source, day=first + timedelta(days=offset), status=status, copies=[]
        )
        for n, (source, offset, status) in enumerate(made)
    ]
    days = {s: sorted(b.day for b in facts if b.source == s) for s in {b.source for b in facts}}
    tried = [calendar.Tried(s, "files", "x", at(d[0]), at(d[-1])) for s, d in sorted(days.items())]
    sources = calendar.sources(period, tried, dict.fromkeys(configured, ("files", "x")))
    of_month = [b for b in facts if b.day in period.judged]
    cells = calendar.calendar(period, sources, of_month, ["r"])
    assert len(cells) == len(sources) * 30 == len({(c.source, c.day) for c in cells})
    assert Counter(b for c in cells for b in c.backups) == Counter(b.backup_id for b in of_month)
    for cell in cells:
        good = {b.backup_id for b in of_month if b.status in calendar.GOOD} & set(cell.backups)
        since = days.get(cell.source, [None])[0]
        until = None if cell.source in configured else days[cell.source][-1]
        judged = cell.day in period.judged
        expected = judged and since is not None and cell.day >= since and (until is None or cell.day <= until)
        assert (cell.state == "covered") == bool(good)
        assert (cell.state in ("covered", *gaps.GAPS)) == expected
        assert (cell.finding is not None) == (cell.state in (*gaps.GAPS, "never_backed_up"))
        assert (cell.state == "future") == (not judged)


def test_a_day_begins_and_ends_at_the_midnights_of_the_configured_zone(history: History) -> None:
    history.configure("ops")
    for day, hour in ((date(2026, 10, 31), 23), (date(2026, 11, 1), 0), (date(2026, 11, 30), 23)):
        history.backup("ops", day, hour=hour)
    history.backup("ops", date(2026, 12, 1), hour=0)
    made = make(history.ctx, "2026-11")
    assert [b.day.isoformat() for b in made.facts.backups] == ["2026-11-01", "2026-11-30"]
    # By UTC the same night's backup belongs to the day before.
    history.timezone = "UTC"
    days = [b.day.isoformat() for b in make(history.ctx, "2026-11").facts.backups]
    assert days == ["2026-11-30", "2026-11-30"]


def test_days_to_come_and_days_before_the_first_backup_are_no_findings(history: History) -> None:
    history.configure("ops")
    history.backup("ops", date(2026, 11, 10))
    history.now = at(date(2026, 11, 13), 12)
    made = make(history.ctx, "2026-11")
    states = _states(made, "ops")
    assert {n: states[n] for n in (1, 9, 10, 11, 12, 13, 30)} == {
        1: "not_expected", 9: "not_expected", 10: "covered", 11: "missing", 12: "missing", 13: "future",
        30: "future",
    }  # fmt: skip
    assert (made.missing, len(_findings(history))) == (2, 2)
    assert not made.facts.period.complete


def test_a_source_that_was_added_and_one_that_was_removed_within_the_month(history: History) -> None:
    history.configure("ops")
    history.configure("late")
    for day in november():
        history.backup("ops", day)
        if day.day >= 20:
            history.backup("late", day)
        if day.day <= 10 and day.day != 5:
            history.backup("gone", day)
    made = make(history.ctx, "2026-11")
    spans = {s.source: (s.expected_from, s.expected_until, s.ended) for s in made.facts.sources}
    assert spans == {
        "gone": (date(2026, 11, 1), date(2026, 11, 10), True),
        "late": (date(2026, 11, 20), date(2026, 11, 30), False),
        "ops": (date(2026, 11, 1), date(2026, 11, 30), False),
    }
    assert [f["key"] for f in _findings(history)] == ["backup.missing/gone/2026-11-05"]


def test_a_source_that_is_configured_and_was_never_tried_is_one_finding(history: History) -> None:
    history.configure("ops")
    history.configure("forgotten")
    for day in november():
        history.backup("ops", day)
    made = make(history.ctx, "2026-11")
    assert [f["key"] for f in _findings(history)] == ["backup.never/forgotten"]
    assert set(_states(made, "forgotten").values()) == {"never_backed_up"}
    assert "forgotten" in _text(made, "en")


def test_a_day_on_which_every_attempt_failed_or_never_ended_says_so(history: History) -> None:
    history.configure("ops")
    for day in november():
        history.backup("ops", day, status={4: "failed", 5: "staged", 6: "rejected"}.get(day.day, "sealed"))
    history.backup("ops", date(2026, 11, 4), hour=3, status="abandoned")
    made = make(history.ctx, "2026-11")
    states = _states(made, "ops")
    assert (states[4], states[5], states[6]) == ("failed", "unfinished", "refused")
    assert [f["severity"] for f in _findings(history)] == ["critical", "critical", "warning"]


# -- findings stay ------------------------------------------------------------------------------------------


def test_a_finding_about_a_day_is_recorded_once_and_never_closed_or_opened_again_by_the_report(
    history: History,
) -> None:
    history.configure("ops")
    for day in november():
        if day.day != 7:
            history.backup("ops", day)
    first = make(history.ctx, "2026-11")
    assert first.opened == 1
    history.now += timedelta(days=1)
    assert make(history.ctx, "2026-11").opened == 0
    with connect(history.warehouse, application_name="tests") as conn:
        key = "backup.missing/ops/2026-11-07"
        close_finding(conn, key, by="li.wei", why="计划停机", now=history.now)
        conn.commit()
    again = make(history.ctx, "2026-11")
    (finding,) = _findings(history)
    assert (again.opened, finding["closed_by"], finding["times_seen"]) == (0, "li.wei", 1)
    assert _states(again, "ops")[7] == "missing"
    assert "计划停机" in re.sub(r"\s", "", _text(again, "zh")) and again.number == 2
    # A backup that turns up later closes nothing: that is for a person to look at.
    history.backup("ops", date(2026, 11, 7))
    assert _states(make(history.ctx, "2026-11"), "ops")[7] == "covered"
    kinds = [r["kind"] for r in history.query("select kind from evidence.ledger order by seq")]
    assert kinds == ["finding.opened", "report.made", "finding.closed", "report.made", "report.made"]


def test_a_source_from_which_nothing_was_restored_in_a_region_is_a_finding_once_the_month_is_over(
    history: History,
) -> None:
    history.configure("ops")
    history.configure("late")
    for day in (date(2026, 10, 31), *november()):
        backup_id = history.backup("ops", day)
    for day in november():
        history.backup("late", day)
    history.test("ops", "cn-east", date(2026, 11, 5), backup_id)
    history.now = at(date(2026, 11, 30), 12)
    assert make(history.ctx, "2026-11").facts.untested == []
    history.now = AFTER
    made = make(history.ctx, "2026-11")
    assert [(u.source, u.region) for u in made.facts.untested] == [("ops", "cn-north"), ("ops", "cn-south")]
    assert [f["key"] for f in _findings(history)] == [
        "restore.missing/ops/cn-north/2026-11",
        "restore.missing/ops/cn-south/2026-11",
    ]


# -- versions -----------------------------------------------------------------------------------------------


def test_the_same_facts_give_the_same_bytes_and_no_second_record(november_2026: tuple[History, Made]) -> None:
    history, made = november_2026
    later = replace(history, now=AFTER + timedelta(days=90))
    again = make(later.ctx, "2026-11")
    assert (again.number, again.new) == (1, False)
    assert again.files == made.files
    assert len(history.query("select 1 from evidence.ledger where kind = 'report.made'")) == 1


def test_the_ledger_has_the_digest_of_every_file(november_2026: tuple[History, Made]) -> None:
    history, made = november_2026
    with connect(history.warehouse, application_name="tests") as conn:
        (record,) = ledger.records(conn, kind="report.made", subject="compliance/2026-11")
    on_disk = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in made.directory.iterdir()}
    assert {f["name"]: f["sha256"] for f in record.body["files"]} == on_disk
    assert {"report.json", "report.zh.html", "report.en.html", "report.zh.pdf", "report.en.pdf"} <= set(
        on_disk
    )
    listed = dict(reversed(line.split("  ")) for line in made.files[store.SUMS].decode().splitlines())
    assert listed == {n: d for n, d in on_disk.items() if n != store.SUMS}
    report = json.loads(made.files["report.json"])
    assert record.body["facts_sha256"] == report["facts_sha256"] == made.facts.sha256
    assert (record.body["expected_days"], record.body["covered_days"]) == (90, 88)


def test_other_facts_are_another_version_and_the_first_one_stays(history: History) -> None:
    history.configure("ops")
    backup_id = history.backup("ops", date(2026, 11, 30), status="degraded", lacking=["cn-south"])
    first = make(history.ctx, "2026-11")
    before = {p.name: p.read_bytes() for p in first.directory.iterdir()}
    with psycopg.connect(history.warehouse) as conn:
        conn.execute("update vault.backups set status = 'sealed' where backup_id = %s", (backup_id,))
    second = make(history.ctx, "2026-11")
    assert (first.number, second.number, second.new) == (1, 2, True)
    assert {p.name: p.read_bytes() for p in first.directory.iterdir()} == before
    assert json.loads(second.files["report.json"])["edition"] == {
        "number": 2,
        "replaces_facts_sha256": first.facts_sha256,
    }


def test_killed_between_files_and_record_the_report_is_made_and_recorded_once(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.configure("ops")
    history.backup("ops", date(2026, 11, 30))
    with monkeypatch.context() as patch:
        patch.setattr(making.ledger, "append", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make(history.ctx, "2026-11")
    left = store.directory(history.ctx.settings.home, "2026-11", 1)
    assert left.is_dir()
    history.judge("ops", date(2026, 11, 30))  # the facts have moved on meanwhile
    made = make(history.ctx, "2026-11")
    assert (made.number, made.directory) == (1, left)
    assert {p.name: p.read_bytes() for p in left.iterdir()} == made.files
    assert [p.name for p in left.parent.iterdir()] == ["v1"]


def test_what_a_person_put_beside_the_files_of_a_version_stays(history: History) -> None:
    history.configure("ops")
    history.backup("ops", date(2026, 11, 30))
    place = make(history.ctx, "2026-11").directory
    (place / "signed-by-hand.pdf").write_bytes(b"a scan")
    assert not make(history.ctx, "2026-11").new
    assert (place / "signed-by-hand.pdf").read_bytes() == b"a scan"


def test_a_version_that_somebody_altered_is_put_aside_and_not_repaired_over(history: History) -> None:
    history.configure("ops")
    history.backup("ops", date(2026, 11, 30))
    place = make(history.ctx, "2026-11").directory
    (place / "signed-by-hand.pdf").write_bytes(b"a scan")
    for altered in ("more", "less"):
        (place / "backups.csv").write_text(altered)
        made = make(history.ctx, "2026-11")
        assert not made.new and {p.name: p.read_bytes() for p in place.iterdir()} == made.files
    first, second = (place.with_name(f"v1.other-{n}") for n in (1, 2))
    assert [(p / "backups.csv").read_text() for p in (first, second)] == ["more", "less"]
    assert (first / "signed-by-hand.pdf").read_bytes() == b"a scan"


def test_two_at_once_do_not_make_two_versions(history: History) -> None:
    history.configure("ops")
    history.backup("ops", date(2026, 11, 30))
    with making._alone(history.ctx, "2026-11"), pytest.raises(Busy):
        make(history.ctx, "2026-11")


@pytest.mark.parametrize("month", ["2026-13", "26-11", "2026-12", "2026-11-01", "", "２０２６-11", "9999-12"])
def test_what_is_no_month_that_has_begun_is_refused(history: History, month: str) -> None:
    history.configure("ops")
    history.now = at(date(2026, 12, 1), 12)
    with pytest.raises(ConfigError):
        make(history.ctx, month)


# -- what it shows ------------------------------------------------------------------------------------------


def test_the_pdf_can_be_searched_in_chinese_and_in_english(november_2026: tuple[History, Made]) -> None:
    _, made = november_2026
    zh, en = _text(made, "zh"), _text(made, "en")
    for word in (
        "备份与恢复合规报告",
        "备份日历",
        "恢复测试",
        "如何核验本报告",
        "陈瑜",
        "拒绝删除已锁定的版本",
    ):
        assert word in zh
    for word in ("Compliance report", "Calendar of backups", "How to verify this report", "in force", "陈瑜"):
        assert word in en
    assert made.facts.backups[0].backup_id in re.sub(r"\s|\u200b", "", en)
    fonts = b"".join(made.files[f"report.{x}.pdf"] for x in ("zh", "en"))
    assert b"NotoSansSC" in fonts


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_pages_show_what_an_auditor_asks_for(november_2026: tuple[History, Made], language: str) -> None:
    _, made = november_2026
    page = made.files[f"report.{language}.html"].decode()
    text = re.sub(r"\s|\u200b", "", _text(made, language))
    for shown in (
        "A.8.13", "A1.2", "A1.3", "8.1.4.9", "8.1.10.11", "GB/T 22239-2019", "GB/T 20988-2025",
        "2026-11-09", "hold-1", "a1" * 8, SHA[:16], SHA[::-1][:16], "(1/30)", "12 rows", "ops.posts",
        made.facts_sha256, "sha256sum -c SHA256SUMS", "tidewatch ledger verify --region cn-east",
        f"{'a' * 16} → {'b' * 16}",
    ):  # fmt: skip
        assert shown in page
        assert shown.replace(" ", "") in text
    ours = {"zh": "由我们自己编制", "en": "This mapping is ours"}[language]
    assert ours in page and ours.replace(" ", "") in text


def test_the_calendar_can_be_read_without_colour(november_2026: tuple[History, Made]) -> None:
    _, made = november_2026
    report = making.ReportDocument.model_validate_json(made.files["report.json"])
    blocks = [b for s in view.page(report, "en").sections for b in s.blocks]
    (shown,) = [b for b in blocks if isinstance(b, Calendar)]
    lines = {(line.source, line.region): [c.text for c in line.cells] for line in shown.lines}
    assert len(lines) == 9 and all(len(cells) == 30 for cells in lines.values())
    assert lines["ops", "cn-north"][7:10] == ["●", "○", "●"]
    assert lines["ops", "cn-north"][19:22] == ["×", "×", "●"]
    assert lines["ops", "cn-south"][19:22] == ["●", "●", "●"]
    assert lines["airflow_metadata", "cn-east"][13] == "▲"
    signs = [entry.text.split()[0] for entry in shown.legend]
    assert len(set(signs)) == len(signs) and {s for c in lines.values() for s in c} <= set(signs)


def test_the_json_follows_the_published_schema(november_2026: tuple[History, Made]) -> None:
    _, made = november_2026
    published = (PROJECT / "docs" / "schemas" / "compliance-report-1.json").read_text(encoding="utf-8")
    assert published == schema_text(), "run `.venv/bin/python tools/generate_docs.py`"
    Draft202012Validator(json.loads(published)).validate(json.loads(made.files["report.json"]))


def test_facts_that_the_report_takes_from_other_rooms_are_those_of_the_tables(
    november_2026: tuple[History, Made],
) -> None:
    _, made = november_2026
    facts = made.facts
    probed = next(p for p in facts.probes if p.region == "cn-south")
    refused = next(q for q in probed.questions if q.question == "locked version undeletable")
    assert (probed.probes, probed.days, probed.unusable, refused.not_ok, refused.ok) == (30, 30, 1, 1, True)
    assert [(g.gate_sha256, g.judged, g.refused) for g in facts.gates] == [(SHA, 44, 1), (SHA[::-1], 45, 0)]
    failed = next(t for t in facts.restore_tests if t.status == "failed")
    assert (failed.rto_seconds, failed.rto_target, failed.failed_checks[0].where) == (4000, 3600, "ops.posts")
    assert [(s.decision, s.signed_by, s.failed) for s in facts.sign_offs] == [("signed", "陈瑜", 1)]
    lacking = [c for b in facts.backups for c in b.copies if c.state == "lacking"]
    assert {(c.region, c.error) for c in lacking} == {("cn-north", "the region did not answer")}
    assert len(lacking) == 6
    assert facts.ledger.seq == 1 and [r.kind for r in facts.key_changes] == ["keys.rotated"]


# -- hostile text -------------------------------------------------------------------------------------------


def test_hostile_names_are_shown_and_do_nothing(november_2026: tuple[History, Made]) -> None:
    _, made = november_2026
    for language in ("zh", "en"):
        page = made.files[f"report.{language}.html"].decode()
        assert "<script" not in page and "&lt;script&gt;alert(1)" in page
        text = _text(made, language)
        squeezed = re.sub(r"\s|\u200b", "", text)
        assert "<script>alert(1)</script>\\u202egnp.exe" in squeezed
        assert '#panic("x")$x$*b*@ref' in squeezed
        for harmful in ("\u202e", "\x07", "\x1b"):
            assert harmful not in page and harmful not in text
    raw = made.files["report.json"].decode()
    assert "\u202e" not in raw and "\x1b" not in raw
    assert json.loads(raw)["facts"]["holds"][0]["reason"] == EVIL


def test_no_cell_of_a_csv_file_begins_a_formula(november_2026: tuple[History, Made]) -> None:
    _, made = november_2026
    held = _rows(made, "holds.csv")[0]
    assert (held["holder"], held["placed_by"]) == ("'=cmd|' /C calc'!A0", "'@sum(1)")
    assert _rows(made, "sign_offs.csv")[0]["note"] == "'=1+1"
    names = [n for n in made.files if n.endswith(".csv")]
    assert len(names) == 13
    for name in names:
        for row in csv.reader(io.StringIO(made.files[name].decode("utf-8-sig"))):
            for field in row:
                assert not field.startswith(("=", "+", "-", "@", "\t", "\r")), (name, field)
                assert field.isprintable()


@given(st.one_of(st.text(max_size=40), st.text("=+-@＝＋－＠\t\r \u3000a1", max_size=6)))
def test_whatever_a_cell_says_it_is_no_formula_and_has_no_control_characters(text: str) -> None:
    from tidewatch.evidence.report.tables import _field

    field = str(_field(text))
    assert not field.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert not field.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert all(c.isprintable() or c == "\u3000" for c in field)


# -- where it goes ------------------------------------------------------------------------------------------


def test_copies_in_the_regions_are_written_once_locked_and_beside_the_backups(
    history: History, three_regions: list[Region]
) -> None:
    history.configure("ops")
    history.backup("ops", date(2026, 11, 30))
    history.now = datetime.now(UTC) + timedelta(days=40)
    ctx = replace(
        history.ctx,
        regions=three_regions,
        report=history.ctx.report.model_copy(update={"reports_lock_days": 2}),
    )
    made = make(ctx, "2026-11")
    for _ in range(2):
        copy_to_regions(ctx, made)
    for region in three_regions:
        listed = {x.key for x in region.store.list("tidewatch-reports/compliance/2026-11/v1/")}
        assert {k.rpartition("/")[2] for k in listed} == set(made.files)
        assert list(region.store.list(f"{region.config.prefix}/")) == []
        for key in listed:
            assert region.store.read(key) == made.files[key.rpartition("/")[2]]
            head = region.store.head(key)
            assert head.lock_mode == "COMPLIANCE" and head.retain_until is not None
            assert head.retain_until >= history.now + timedelta(days=1)
    forged = replace(made, files=made.files | {"report.json": b"{}"})
    with pytest.raises(AlreadyExists):
        copy_to_regions(ctx, forged)


def test_files_are_handed_out_and_nothing_there_is_overwritten(history: History, tmp_path: Path) -> None:
    history.configure("ops")
    history.backup("ops", date(2026, 11, 30))
    made = make(history.ctx, "2026-11")
    out = tmp_path / "audit"
    for _ in range(2):
        store.hand_out(out, made.files)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == made.files
    (out / "report.json").write_bytes(b"{}")
    with pytest.raises(AlreadyExists):
        store.hand_out(out, made.files)
    assert (out / "report.json").read_bytes() == b"{}"


def test_a_mapping_that_names_no_section_of_the_report_is_refused(history: History) -> None:
    history.configure("ops")
    control = {"id": "X", "name_zh": "x", "name_en": "x", "sections": ["calender"]}
    file = ControlsFile.model_validate(
        {"frameworks": [{"name_zh": "x", "name_en": "x", "controls": [control]}]}
    )
    with pytest.raises(ConfigError, match="calender"):
        making._check_sections(file, history.ctx.settings)


def test_an_installation_that_has_nothing_yet_gets_an_empty_report(history: History) -> None:
    history.configure("ops")
    made = make(history.ctx, "2026-10")
    assert made.facts.backups == [] and [f.kind for f in made.facts.findings] == ["backup.never"]
    assert "No backup in the period" in _text(made, "en")
