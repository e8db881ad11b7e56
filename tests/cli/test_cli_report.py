"""`tidewatch report compliance`, and a report about backups that were really made."""

import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "evidence"))

import yaml
from backup_rig import PROJECT
from cli_desk import Desk
from report_history import History

from tidewatch.backup.probe import probe_regions
from tidewatch.evidence.report.make import build_context, make
from tidewatch.evidence.report.period import month_of


@pytest.fixture
def reporting(backed_up: Desk) -> Desk:
    for name in ("report.yaml", "controls.yaml"):
        shutil.copy(PROJECT / "config" / name, backed_up.home / "config" / name)
    return backed_up


def test_a_report_about_backups_that_were_really_made(reporting: Desk) -> None:
    rig = reporting.rig
    probe_regions(rig.ctx)
    later = rig.clock() + timedelta(days=40)
    context = build_context(
        rig.settings.model_copy(update={"config_dir": reporting.home / "config"}),
        rig.ctx.connect,
        lambda _: [],
        clock=lambda: later,
    )
    made = make(context, month_of(rig.clock(), "Asia/Shanghai"))
    (backup,) = made.facts.backups
    assert (backup.backup_id, backup.status, backup.files) == (reporting.backup_id, "sealed", 2)
    assert {c.region: c.state for c in backup.copies} == {r.name: "verified" for r in rig.regions}
    assert backup.manifest_sha256 == rig.get(reporting.backup_id).manifest_sha256
    assert backup.signing_key == rig.keys.signing_key.public.key_id
    assert {k.key_id for k in made.facts.keys} == {backup.signing_key, *backup.encryption_keys}
    day = next(d for d in made.facts.days if d.day == backup.day and d.source == "media")
    assert day.state == "covered" and set(day.regions.values()) == {"verified"}
    assert [(g.gate, g.judged, g.refused) for g in made.facts.gates] == [("backup", 1, 0)]
    answers = {(p.region, q.question): q.ok for p in made.facts.probes for q in p.questions}
    assert {answers[r.name, "locked version undeletable"] for r in rig.regions} == {True}
    ours = "select count(*) as n from evidence.ledger where kind not in ('finding.opened', 'report.made')"
    assert made.facts.ledger.seq == rig.query(ours)[0]["n"]
    assert [(p.policy, p.version) for p in made.facts.policies] == [("TEST", "1")]


def test_the_command_makes_a_report_hands_it_out_and_copies_it_to_the_regions(reporting: Desk) -> None:
    history = History(reporting.rig.warehouse, reporting.home)
    for day in (4, 6):
        history.backup("media", date(2026, 1, day), kind="files")
    config = {"timezone": "Asia/Shanghai", "copy_to_regions": True, "reports_lock_days": 1}
    (reporting.home / "config" / "report.yaml").write_text(yaml.safe_dump(config))
    out = reporting.home / "out"
    said = reporting("report", "compliance", "--month", "2026-01", "--out", str(out))
    assert said.code == 1, said.err
    assert "Source media has no good backup of 2026-01-05 (Asia/Shanghai): no backup was tried" in said.out
    assert "Source unused is configured and was never backed up" in said.out
    again = reporting("report", "compliance", "--month", "2026-01", "--json").json
    assert (again["version"], again["new"], again["findings_opened"]) == (1, False, 0)
    assert again["days_without_backup"] == 31 - 3 - 2
    files = {p.name: p.read_bytes() for p in out.iterdir()}
    assert {p.name: p.read_bytes() for p in Path(again["directory"]).iterdir()} == files
    for region in reporting.rig.regions:
        held = {x.key.rpartition("/")[2] for x in region.store.list("tidewatch-reports/")}
        assert held == set(files)
    assert reporting("orphans", "list", "--json").json is not None
    assert reporting("ledger", "verify").code == 0


@pytest.mark.parametrize(
    ("month", "words"), [("2026-13", "is not a month"), ("2999-01", "No day of 2999-01 is over yet")]
)
def test_what_is_no_month_to_report_on_is_said(reporting: Desk, month: str, words: str) -> None:
    said = reporting("report", "compliance", "--month", month)
    assert (said.code, said.out) == (3, "") and words in said.err
