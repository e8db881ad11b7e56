"""The static site: safe to open whatever the data says, whole at any moment, and no dearer with age."""

import fcntl
import json
import multiprocessing
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from tidewatch.core.database import Connection
from tidewatch.quality import docs
from tidewatch.quality.gate import Gate
from tidewatch.quality.judgement import Judgement, Where

from .conftest import NOW, Judge, one_batch

EVIL = '<script>document.title="owned"</script><img src=x onerror=alert(1)>"\'>{{ 7*7 }}'
HOSTILE = one_batch(
    {
        "type": "expect_column_values_to_be_in_set",
        "column": "t",
        "value_set": ["a", "<b>bold</b>", "$column"],
        "note_en": "<i>look</i>",
    },
    {"type": "expect_column_most_common_value_to_be_in_set", "column": "t", "value_set": ["a"]},
    {"type": "expect_table_columns_to_match_set", "column_set": ["t"], "severity": "warning"},
    key=["t"],
    show_values=True,
)
SIMPLE = one_batch({"type": "expect_column_values_to_not_be_null", "column": "n"})


def page_of(judgement: Judgement) -> str:
    return Path(str(judgement.docs)).read_text(encoding="utf-8")


def hostile(judge_here: Judge) -> Judgement:
    return judge_here(HOSTILE, {"rows": pd.DataFrame({"t": [EVIL], EVIL: [1]})}, subject=EVIL, run_id=EVIL)


def test_markup_in_values_names_and_gates_is_shown_as_text(judge_here: Judge, site: Path) -> None:
    judgement = hostile(judge_here)
    for html in (page_of(judgement), (site / "index.html").read_text(encoding="utf-8")):
        assert not re.search(r"<(script|img|b|i)\b", html)
        assert "&lt;script&gt;" in html
        assert "{{ 7*7 }}" in html
        assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert Path(str(judgement.docs)).parent == site / "judgements"


def test_pages_need_no_other_server(judge_here: Judge, site: Path) -> None:
    judgement = judge_here(SIMPLE, {"rows": pd.DataFrame({"n": [1]})})
    for html in (page_of(judgement), (site / "index.html").read_text(encoding="utf-8")):
        assert "//" not in re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL)


@pytest.mark.browser
def test_a_browser_shows_the_text_and_runs_nothing(judge_here: Judge) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("Chromium is not installed")
    judgement = hostile(judge_here)
    shown = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{judgement.docs}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "<title>owned" not in shown
    assert "onerror=alert(1)&gt;" in shown
    assert "<img" not in shown


def test_the_page_says_verdict_rows_limits_and_notes(judge_here: Judge) -> None:
    gate = one_batch(
        {
            "type": "expect_column_values_to_be_between",
            "column": "n",
            "min_value": 3,
            "note_zh": "太少",
            "note_en": "too few",
        },
        key=["k"],
        show_values=True,
    )
    html = page_of(judge_here(gate, {"rows": pd.DataFrame({"k": ["posts"], "n": [2]})}))
    for said in (
        "未通过",
        "Refused",
        "1 of 1 rows",
        "greater than or equal to 3",
        "posts (n = 2)",
        "太少",
        "too few",
    ):
        assert said in html


def test_the_site_keeps_the_newest_pages_and_the_database_all(
    judge_here: Judge, conn: Connection, site: Path, tmp_path: Path
) -> None:
    for i in range(7):
        judge_here(
            SIMPLE,
            {"rows": pd.DataFrame({"n": [1]})},
            subject=f"s-{i}",
            now=NOW + timedelta(minutes=i),
            keep_pages=3,
        )
    index = (site / "index.html").read_text(encoding="utf-8")
    assert re.findall(r">(s-\d)</a>", index) == ["s-6", "s-5", "s-4"]
    assert len(list((site / "judgements").iterdir())) == 3
    assert len(list((tmp_path / "gx" / "results").iterdir())) == 3
    assert conn.execute("select count(*) as n from quality.judgements").fetchone() == {"n": 7}


def test_judging_again_replaces_the_page(judge_here: Judge, site: Path) -> None:
    first = judge_here(SIMPLE, {"rows": pd.DataFrame({"n": [None]})})
    second = judge_here(SIMPLE, {"rows": pd.DataFrame({"n": [1]})}, now=NOW + timedelta(hours=1))
    assert first.docs == second.docs
    assert "Passed" in page_of(second)
    assert (site / "index.html").read_text(encoding="utf-8").count("<a ") == 1


def test_what_an_interrupted_run_left_is_removed_and_a_broken_index_is_rebuilt(
    judge_here: Judge, site: Path
) -> None:
    judge_here(SIMPLE, {"rows": pd.DataFrame({"n": [1]})}, subject="old")
    (site / "judgements" / ".half.html.123").write_text("half", encoding="utf-8")
    (site / "index.json").write_text("[{", encoding="utf-8")
    judge_here(SIMPLE, {"rows": pd.DataFrame({"n": [1]})}, subject="new")
    assert [e["subject"] for e in json.loads((site / "index.json").read_text(encoding="utf-8"))] == ["new"]
    assert [p.name.split("-")[1] for p in (site / "judgements").iterdir()] == ["new"]


def test_a_raw_result_of_great_expectations_is_kept_as_json(judge_here: Judge, tmp_path: Path) -> None:
    judge_here(SIMPLE, {"rows": pd.DataFrame({"n": [1, None]})})
    (file,) = (tmp_path / "gx" / "results").glob("*.json")
    raw = json.loads(file.read_text(encoding="utf-8"))
    assert raw["rows"]["results"][0]["result"]["unexpected_count"] == 1


def test_a_site_that_cannot_be_written_does_not_stop_the_gate(
    judge_here: Judge, conn: Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    judgement = judge_here(SIMPLE, {"rows": pd.DataFrame({"n": [1]})}, docs_dir=blocked / "site")
    assert judgement.passed
    assert judgement.docs is None
    assert "results are in the database" in caplog.text
    assert conn.execute("select docs from quality.judgements").fetchone() == {"docs": None}


def test_a_lock_that_never_comes_free_does_not_stop_the_gate(
    judge_here: Judge, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "_LOCK_WAIT_S", 0.2)
    site.mkdir()
    with (site / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        judgement = judge_here(SIMPLE, {"rows": pd.DataFrame({"n": [1]})})
    assert judgement.passed
    assert judgement.docs is None


def _write_pages(site: str, gate: str, writer: int) -> None:
    for i in range(10):
        judgement = Judgement(
            "g", "0" * 64, Where("d", f"r-{writer}-{i}", "s"), True, [], [], 1, 1, 1, 0, docs=None
        )
        docs.write_page(Path(site), docs.Content(Gate.model_validate_json(gate), judgement, NOW, []), 200)


def test_writers_in_several_processes_lose_no_page(site: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_write_pages, args=(str(site), SIMPLE.model_dump_json(), w)) for w in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [w.exitcode for w in writers] == [0, 0, 0]
    assert (site / "index.html").read_text(encoding="utf-8").count("<a ") == 30
    assert len(list((site / "judgements").iterdir())) == 30
