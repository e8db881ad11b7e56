"""Files of every kind: what can be kept is, every other row has its reason, nothing is half-imported."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from label_desk import NOW, Desk
from label_files import (
    ROWS,
    annotation,
    csv_text,
    entity_bomb,
    far_row,
    studio,
    task,
    workbook,
    zip_bomb,
)

from tidewatch.core.config import read_yaml
from tidewatch.core.database import connect
from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.core.settings import load_settings
from tidewatch.sentiment.labels.importing import ImportReport, import_file
from tidewatch.sentiment.labels.mapping import LabelsFile, Limits

SHIPPED = read_yaml(load_settings().config_dir / "labels.yaml", LabelsFile)


def bring(
    desk: Desk, path: Path, mapping: str = "default", file: LabelsFile = SHIPPED, **more: Any
) -> ImportReport:
    annotator = more.pop("annotator", "agency")
    report = import_file(
        desk.conn, path, file, mapping=mapping, by="li.wei", now=desk.later(), annotator=annotator, **more
    )
    desk.conn.commit()
    return report


def with_mapping(**fields: Any) -> LabelsFile:
    content = SHIPPED.model_dump()
    content["mappings"].append({"name": "own", **fields})
    return LabelsFile.model_validate(content)


def limited(**limits: int) -> LabelsFile:
    return SHIPPED.model_copy(update={"limits": Limits(**limits)})


WANTED = {("agency", t, {"负面": "negative", "neutral": "neutral", "POS": "positive"}[w]) for t, w in ROWS}


def test_a_csv_of_every_usual_encoding_is_read(desk: Desk, tmp_path: Path) -> None:
    encodings = ["utf-8", "utf-8-sig", "gbk", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
    for encoding in encodings:
        (path := tmp_path / f"{encoding}.csv").write_bytes(csv_text().encode(encoding))
        report = bring(desk, path, annotator=encoding)
        assert (report.rows, report.accepted, report.refused) == (3, 3, ()), encoding
    assert desk.votes() == {(e, text, label) for e in encodings for _, text, label in WANTED}


def test_excel_parquet_json_and_tsv_say_the_same(desk: Desk, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    objects = [{"text": t, "label": w} for t, w in ROWS]
    workbook(tmp_path / "a.xlsx", [("text", "label"), *ROWS])
    pq.write_table(pa.Table.from_pylist(objects), tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text(json.dumps(objects), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(o) for o in objects), encoding="utf-8")
    (tmp_path / "a.tsv").write_text('text\tlabel\n"太差了,不会再来"\t负面\n', encoding="utf-8")
    for name, rows in (("a.xlsx", 3), ("a.parquet", 3), ("a.json", 3), ("a.jsonl", 3), ("a.tsv", 1)):
        report = bring(desk, tmp_path / name, annotator=name)
        assert (report.rows, report.accepted, report.refused) == (rows, rows, ()), name
    assert {(w, t, s) for w, t, s in desk.votes() if w == "a.parquet"} == {
        ("a.parquet", t, s) for _, t, s in WANTED
    }
    assert len(desk.votes()) == 13 and desk.count("sentiment.texts") == 3


def test_the_same_file_again_adds_nothing_and_says_when_it_came(desk: Desk, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv").write_text(csv_text([*ROWS, ("", "pos")]), encoding="utf-8")
    first = bring(desk, path)
    assert first.accepted == 3 and first.reasons == {"no_text": 1} and first.earlier is None
    at = desk.now
    path = path.rename(tmp_path / "renamed.csv")
    again = bring(desk, path)
    assert again.earlier == at and again.counts() == first.counts()
    # Read in another way it is looked at again, and what is known stays one label.
    other = bring(desk, path, file=with_mapping(text="text", values={"x": "neutral"}), mapping="own")
    assert (other.accepted, other.known, other.earlier) == (0, 3, None)
    assert desk.count("sentiment.labels") == 3
    (one, two) = desk.records("labels.imported")
    assert one.body["refused"] == {"no_text": 1} and one.body["labels"]["negative"] == 1
    assert two.body["known"] == 3 and "太差" not in json.dumps([one.body, two.body], ensure_ascii=False)


def test_every_row_that_cannot_be_kept_has_its_number_and_its_reason_and_shows_nothing(
    desk: Desk, tmp_path: Path
) -> None:
    secret = "我的身份证号"
    header = ["text", "label", "who", "id", "at"]
    rows = [
        ["good", "pos", "li", "1", "2026-11-20 08:00"],
        [" ", "pos", "li", "2", ""],
        [secret, "", "li", "3", ""],
        [secret, "5", "li", "4", ""],
        [secret, secret, "li", "5", ""],
        [secret + "\0", "pos", "li", "6", ""],
        [secret * 400, "pos", "li", "7", ""],
        [secret, "pos", "", "8", ""],
        [secret, "pos", "seed:x", "9", ""],
        [secret, "pos", "li", "1" * 401, ""],
        [secret, "pos", "li", "4.9123E+15", ""],
        [secret, "pos", "li", "11", "yesterday"],
        [secret, "pos", "li", "12", "2999-01-01"],
        [secret, "pos"],
        ["=HYPERLINK(1)", "neg", "li", "14", ""],
    ]
    (path := tmp_path / "a.csv").write_text(csv_text(rows, header), encoding="utf-8")
    fields = {"annotator_column": "who", "platform": "weibo", "native_id": "id", "labelled_at": "at"}
    file = with_mapping(**fields, timezone="Asia/Shanghai")
    file = file.model_copy(update={"limits": Limits(text_chars=2000)})
    report = bring(desk, path, mapping="own", file=file, annotator=None)
    assert [(r.row, r.reason) for r in report.refused] == [
        (3, "no_text"), (4, "no_label"), (5, "label"), (6, "label"), (7, "text"), (8, "text"),
        (9, "annotator"), (10, "annotator"), (11, "identity"), (12, "id_rounded"), (13, "time"),
        (14, "future"), (15, "columns"),
    ]  # fmt: skip
    # A formula in a CSV is a text like any other; nothing of ours computes it.
    assert desk.votes() == {("li", "good", "positive"), ("li", "=HYPERLINK(1)", "negative")}
    assert secret not in "".join(r.said for r in report.refused)
    assert report.refused[2].said.endswith(": 5") and report.refused[3].said.endswith(": 6 characters")


def test_a_text_of_a_megabyte_is_refused_alone(desk: Desk, tmp_path: Path) -> None:
    rows = [("好" * 400_000, "pos"), ("short", "pos")]
    (tmp_path / "a.csv").write_text(csv_text(rows), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps([{"text": t, "label": w} for t, w in rows]), encoding="utf-8")
    for name in ("a.csv", "a.json"):
        report = bring(desk, tmp_path / name, annotator=name)
        assert (report.accepted, [(r.row, r.reason) for r in report.refused]) == (
            1,
            [(report.refused[0].row, "text")],
        )
        assert "400000 characters, 20000 are allowed" in report.refused[0].said


def test_half_of_a_character_is_refused_alone(desk: Desk, tmp_path: Path) -> None:
    rows = [{"text": "a\ud83d", "label": "pos"}, {"text": "b😀", "label": "pos"}]
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "b.csv").write_bytes(
        csv_text([("a\ud83d", "pos"), ("c", "pos")]).encode("utf-16", "surrogatepass")
    )
    (tmp_path / "c.csv").write_bytes(
        csv_text([("a\ud83d", "pos"), ("d", "pos")]).encode("utf-8", "surrogatepass")
    )
    for name in ("a.json", "b.csv", "c.csv"):
        report = bring(desk, tmp_path / name)
        assert (report.accepted, report.reasons) == (1, {"text": 1}), name
    assert {t for _, t, _ in desk.votes()} == {"b😀", "c", "d"}


def test_excel_computes_nothing_and_numbers_keep_their_digits(desk: Desk, tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        [
            ("text", "label", "id", "at"),
            ("plain", 1, 12345, datetime.fromisoformat("2026-11-20T08:00")),
            ('=CONCAT("a","b")', 1, 2, None),
            ("formula as label", "=1+0", 3, None),
            ("long id", 0, 4912345678901234, None),
            (42, -1.0, "5", "2026/11/20 08:00"),
            (None, None, None, None),
            ("half a number", 0.5, 7, None),
            ("truth", True, 8, None),
        ],
    )
    file = with_mapping(
        platform="weibo", native_id="id", labelled_at="at", timezone="Asia/Shanghai",
        values={"-1": "negative", "0": "neutral", "1": "positive"},
    )  # fmt: skip
    report = bring(desk, path, mapping="own", file=file)
    assert [(r.row, r.reason) for r in report.refused] == [
        (3, "formula"), (4, "formula"), (5, "id_rounded"), (8, "label"), (9, "label"),
    ]  # fmt: skip
    assert desk.votes() == {("agency", "plain", "positive"), ("agency", "42", "negative")}
    (times,) = desk.rows("select array_agg(distinct labelled_at) as at from sentiment.labels")
    assert [t.isoformat() for t in times["at"]] == ["2026-11-20T00:00:00+00:00"]


def test_label_studio_keeps_every_annotator_and_leaves_predictions_and_skipped_ones(
    desk: Desk, tmp_path: Path
) -> None:
    content = studio(
        task(
            1,
            "太差了",
            annotation(7, "Negative"),
            annotation({"id": 8, "email": "wang@example.com"}, "Neutral"),
        ),
        task(2, "跳过", annotation(7, "Positive", cancelled=True)),
        task(3, "两个", annotation(7, "Positive", "Negative")),
        task(4, "没有", annotation(7)),
        task(5, "", annotation(7, "Positive")),
        task(6, "谁", annotation(None, "Positive")),
        {"id": 7, "data": {"text": "x"}, "annotations": ["broken"]},
    )
    (path := tmp_path / "project.json").write_text(content, encoding="utf-8")
    report = bring(desk, path, mapping="label_studio", annotator=None)
    assert desk.votes() == {
        ("label_studio:7", "太差了", "negative"),
        ("wang@example.com", "太差了", "neutral"),
    }
    assert [(r.row, r.reason) for r in report.refused] == [
        (3, "several_labels"), (4, "no_label"), (5, "no_text"), (6, "annotator"), (7, "columns"),
    ]  # fmt: skip
    (row,) = desk.rows("select distinct source, labelled_at from sentiment.labels")
    assert (
        row["source"] == "label_studio"
        and row["labelled_at"].isoformat() == "2026-11-20T08:01:00.123456+00:00"
    )


BROKEN: dict[str, bytes] = {
    "empty.csv": b"",
    "quote.csv": b'text,label\n"good",pos\n"never closed,neg\nnext,neg\n',
    "header.csv": b"secret post,another\nx,pos\n",
    "twice.csv": b"text,label,label\nx,pos,neg\n",
    "excel.csv": b"PK\x03\x04 and more",
    "old.xlsx": b"\xd0\xcf\x11\xe0" + b"\0" * 600,
    "cut.xlsx": b"PK\x03\x04 and no end",
    "noise.csv": bytes([0xFF, 0x80, 0x81, 0xFE, 0xA0]) * 50,
    "cut.json": b'[{"text": "secret post", "label": "po',
    "one.json": b'{"text": "secret post", "label": "pos"}',
    "deep.json": b"[" * 200_000,
    "digits.json": b"[" + b"9" * 5000 + b"]",
    "line.jsonl": b'{"text": "x", "label": "pos"}\n{"text": "secret post"',
    "cut.parquet": b"PAR1 and no end",
    "labels.docx": b"anything",
}


def test_a_broken_file_leaves_nothing_and_no_message_quotes_it(desk: Desk, tmp_path: Path) -> None:
    for name, content in BROKEN.items():
        (path := tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError) as told:
            bring(desk, path)
        assert "secret" not in str(told.value) and told.value.do, name
    assert desk.count("sentiment.posts") == desk.count("sentiment.imports") == 0


def test_label_studio_files_of_another_form_are_told(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content in ('{"text": "x"}', '[{"text": "x", "sentiment": "Positive"}]', "[1]"):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"Label Studio's JSON export|the export called JSON"):
            bring(desk, path, mapping="label_studio")


def test_bombs_are_refused_before_they_are_unpacked(desk: Desk, tmp_path: Path) -> None:
    bomb = zip_bomb(tmp_path / "a.xlsx", 40)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ConfigError, match=r"larger than is allowed.*limits\.unpacked_mib"):
        bring(desk, bomb, file=limited(unpacked_mib=20))
    with pytest.raises(ConfigError, match="is broken"):
        bring(desk, entity_bomb(tmp_path / "b.xlsx"))
    with pytest.raises(ConfigError, match=r"larger than is allowed|columns of the mapping") as told:
        (path := tmp_path / "c.csv").write_bytes(b"x" * (2 * 1024 * 1024))
        bring(desk, path, file=limited(file_mib=1))
    assert "limits.file_mib" in str(told.value)
    report = bring(desk, far_row(tmp_path / "d.xlsx"), file=limited(rows=50))
    assert report.accepted == 0
    many = tmp_path / "e.csv"
    many.write_text(csv_text([(f"t{n}", "pos") for n in range(30)]), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"limits\.rows"):
        bring(desk, many, file=limited(rows=20))
    assert desk.count("sentiment.posts") == 0


def test_a_parquet_that_unpacks_to_more_than_is_allowed_is_refused(desk: Desk, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": [f"{n}" + "x" * 2_000_000 for n in range(3)], "label": ["pos"] * 3})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    with pytest.raises(ConfigError, match=r"limits\.unpacked_mib"):
        bring(desk, tmp_path / "a.parquet", file=limited(unpacked_mib=1))


def test_a_trial_run_tells_the_same_and_keeps_nothing(desk: Desk, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv").write_text(csv_text([*ROWS, ("x", "?")]), encoding="utf-8")
    trial = bring(desk, path, dry_run=True)
    assert trial.accepted == 3 and trial.reasons == {"label": 1}
    assert desk.count("sentiment.posts") == len(desk.records("labels.imported")) == 0
    assert bring(desk, path).counts() == trial.counts()


def test_somebody_is_named_for_every_label(desk: Desk, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv").write_text(csv_text(), encoding="utf-8")
    with pytest.raises(ConfigError, match="Nobody is named"):
        bring(desk, path, annotator=None)
    with pytest.raises(ConfigError, match="Who gave a label"):
        bring(desk, path, annotator="seed:snownlp")
    with pytest.raises(NotFound, match="no mapping"):
        bring(desk, path, mapping="nothing")
    with pytest.raises(ConfigError, match="cannot be read"):
        bring(desk, tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"annotator": "a", "annotator_column": "b"}, "one of them"),
        ({"platform": "weibo"}, "both, or neither"),
        ({"native_id": "id"}, "both, or neither"),
        ({"timezone": "Mars/Olympus"}, "Asia/Shanghai"),
        ({"name": "default"}, "one name"),
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        with_mapping(**fields)


def test_a_word_stands_for_one_label() -> None:
    content = SHIPPED.model_dump() | {"words": {"negative": ["bad", "x"], "neutral": ["X "]}}
    with pytest.raises(ValueError, match="more than one label"):
        LabelsFile.model_validate(content)


def test_an_import_that_dies_before_its_end_leaves_nothing_and_can_be_given_again(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path := tmp_path / "a.csv").write_text(csv_text(), encoding="utf-8")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tidewatch.evidence.ledger.append", _dies)
        with connect(desk.dsn, application_name="tests") as dying:
            import_file(dying, path, SHIPPED, mapping="default", by="li.wei", now=NOW, annotator="agency")
    assert desk.count("sentiment.posts") == 0
    assert bring(desk, path).accepted == 3


def _dies(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_two_imports_of_one_file_at_once_are_one(desk: Desk, tmp_path: Path) -> None:
    import threading

    (path := tmp_path / "a.csv").write_text(csv_text(), encoding="utf-8")
    reports: list[ImportReport] = []

    def run() -> None:
        with connect(desk.dsn, application_name="tests") as conn:
            reports.append(
                import_file(conn, path, SHIPPED, mapping="default", by="li.wei", now=NOW, annotator="agency")
            )

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.earlier is not None for r in reports) == [False, True]
    assert desk.count("sentiment.labels") == 3
