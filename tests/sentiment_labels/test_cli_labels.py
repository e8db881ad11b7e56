"""`tidewatch labels`, as somebody types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from label_desk import Desk, given
from label_files import ROWS, csv_text
from psycopg.conninfo import conninfo_to_dict

from tidewatch.cli import main
from tidewatch.core.canonical import sha256_hex

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """`run("labels", "list")` gives exit code, stdout, stderr."""
    fields = conninfo_to_dict(desk.dsn)
    warehouse = {"conn_type": "postgres", "host": fields["host"], "port": int(str(fields["port"]))}
    warehouse |= {"login": fields["user"], "password": fields["password"], "schema": fields["dbname"]}
    monkeypatch.setenv("AIRFLOW_CONN_TIDEWATCH_WAREHOUSE", json.dumps(warehouse))
    monkeypatch.setenv("TIDEWATCH_HOME", str(tmp_path / "home"))

    def typed(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["labels", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return typed


def test_a_file_is_checked_imported_listed_exported_and_imported_again(
    run: Run, tmp_path: Path, desk: Desk
) -> None:
    path, refused = tmp_path / "march.csv", tmp_path / "refused.csv"
    path.write_text(csv_text([*ROWS, ("x", "?"), ("", "pos")]), encoding="gbk")
    common = (str(path), "--by", "li.wei", "--annotator", "agency")
    code, out, _ = run("import", *common, "--check")
    assert code == 1 and "3 taken (1 negative, 1 neutral, 1 positive)" in out and "Nothing was kept" in out
    assert "none" in run("list")[1]
    code, out, _ = run("import", *common, "--refused", str(refused))
    assert code == 1 and "5 rows (gb18030)" in out and "- 1 refused, label: row 6" in out
    assert "7,no_text,there is no text" in refused.read_text(encoding="utf-8-sig")
    code, out, _ = run("import", *common, "--json")
    assert json.loads(out)["earlier"] is not None and json.loads(out)["accepted"] == 3
    assert "in the same way; nothing was changed" in run("import", *common)[1]

    code, out, _ = run("list")
    assert code == 0 and "agency" in out and "3 labels of 3 texts" in out and "太差" not in out
    assert "太差了" in run("list", "--texts", "--label", "negative")[1]
    assert len(json.loads(run("list", "--json", "-n", "2")[1])["labels"]) == 2

    votes = desk.votes()
    desk.conn.rollback()
    for name in ("labels.parquet", "labels.jsonl"):
        code, out, _ = run("export", str(tmp_path / name), "--by", "li.wei")
        assert code == 0 and "3 labels were written" in out
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        again = json.loads(
            run("import", str(tmp_path / name), "--mapping", "tidewatch", "--by", "li.wei", "--json")[1]
        )
        assert (again["rows"], again["known"], again["accepted"]) == (3, 3, 0)
    assert desk.votes() == votes
    told = desk.records("labels.exported")
    assert [r.body["rows"] for r in told] == [3, 3]
    assert told[1].body["file_sha256"] == sha256_hex((tmp_path / "labels.jsonl").read_bytes())
    code, _, err = run("export", str(tmp_path / "labels.csv"), "--by", "li.wei")
    assert code == 3 and ".parquet or .jsonl" in err


def test_a_post_is_deleted_when_somebody_says_so_twice(run: Run, desk: Desk, tmp_path: Path) -> None:
    desk.append(
        given("a", "one", "positive", "1"), given("a", "two", "positive", "2"), given("a", "three", "neutral")
    )
    who = ("--by", "li.wei", "--reason", "the author asked")
    code, out, _ = run("delete", "--platform", "weibo", "--id", "1", "--id", "2", *who)
    assert code == 0 and "2 posts with 2 labels would go" in out and desk.count("sentiment.posts") == 3
    desk.conn.rollback()
    code, out, _ = run("delete", "--platform", "weibo", "--id", "1", *who, "--yes")
    assert code == 0 and "1 posts with 1 labels were deleted." in out
    assert "1 had been deleted before" in run("delete", "--platform", "weibo", "--id", "1", *who, "--yes")[1]
    (tmp_path / "text.txt").write_text("three\n", encoding="utf-8")
    code, out, _ = run("delete", "--text-file", str(tmp_path / "text.txt"), *who, "--yes", "--json")
    assert json.loads(out) == {"posts": 1, "labels": 1, "before": 0, "done": True}
    assert run("delete", "--text-sha256", "0" * 64, *who)[0] == 3
    assert "not clear which post" in run("delete", "--platform", "weibo", *who)[2]
    assert desk.count("sentiment.posts") == 1


def test_agreement_is_shown_with_its_intervals_or_with_what_is_missing(run: Run, desk: Desk) -> None:
    code, out, _ = run("agreement")
    assert code == 0 and out.count("not known: no text has labels of two annotators") == 4
    desk.append(
        *[given(w, f"t{n}", ("negative", "neutral", "positive")[n % 3]) for n in range(30) for w in "ab"]
    )
    desk.append(given("b", "t0", "positive"), origin="file:b")
    out = run("agreement")[1]
    assert "a / b" in out and "96.7%" in out and "[" in out and "shared with others" in out
    told = json.loads(run("agreement", "--json")[1])
    assert told["all"]["texts"] == 30 and told["annotators"][0]["overlap"] == 30
    assert run("agreement")[1] == out


def test_mistakes_are_answered_in_words(run: Run, tmp_path: Path) -> None:
    code, _, err = run("import", str(tmp_path / "nothing.csv"), "--by", "li.wei", "--annotator", "a")
    assert code == 3 and "cannot be read" in err
    (tmp_path / "a.csv").write_text("geheim,wort\nx,y\n", encoding="utf-8")
    code, _, err = run("import", str(tmp_path / "a.csv"), "--by", "li.wei", "--annotator", "a")
    assert code == 3 and "2 columns, no text, no label" in err and "geheim" not in err
