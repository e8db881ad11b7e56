"""The commands on files: what they say, what they write, and how they refuse."""

import csv
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from posts import posts

from tidewatch.cli import main
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.model import Model


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    texts, labels = posts(300, seed=21)
    file = tmp_path / "labels.csv"
    with file.open("w", encoding="utf-8", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(["text", "label", "weight"])
        rows.writerows((text, LABELS[label], 1) for text, label in zip(texts, labels, strict=True))
    return file


@pytest.fixture
def kept(model: Model, tmp_path: Path) -> Path:
    model.save(tmp_path / "kept.model")
    return tmp_path / "kept.model"


def test_a_model_is_trained_scored_with_compared_and_described(
    labelled: Path, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.model"
    assert main(["sentiment", "train", str(labelled), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Model.load(out, told["sha256"]).header == told["header"]

    for name in ("scored.csv", "scored.parquet"):
        assert (
            main(["sentiment", "score", str(labelled), "--model", str(out), "--out", str(tmp_path / name)])
            == 0
        )
    scored = pq.read_table(tmp_path / "scored.parquet")
    assert scored.column_names == ["text", "label", "weight", "sentiment", *(f"p_{name}" for name in LABELS)]
    assert scored.num_rows == 300 and set(scored["sentiment"].to_pylist()) == set(LABELS)
    again = ["sentiment", "score", str(tmp_path / "scored.parquet"), "--model", str(out)]
    assert main([*again, "--out", str(tmp_path / "again.parquet")]) == 0
    assert pq.read_table(tmp_path / "again.parquet").equals(scored)

    capsys.readouterr()
    command = ["sentiment", "evaluate", str(labelled), "--model", str(out)]
    assert main([*command, "--against", str(kept), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["evaluation"]["n"] == told["against"]["n"] == 300
    assert main([*command, "--against", str(kept)]) == 0
    shown = capsys.readouterr().out
    assert "Emoticons removed" in shown and "p = " in shown and "positive" in shown

    assert main(["sentiment", "card", "--model", str(out), "--out", str(tmp_path / "card")]) == 0
    for name in ("card.md", "card.html"):
        text = (tmp_path / "card" / name).read_text(encoding="utf-8")
        assert "Accuracy with emoticons removed" in text and "negative" in text and "None" not in text


def test_an_explanation_names_the_words(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sentiment", "explain", "质量很好", "--model", str(kept)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("positive") and "很好" in shown
    assert main(["sentiment", "explain", "质量很好", "--model", str(kept), "--top", "3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["reasons"]) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\n好,good\n差,neg\n", "1 rows \\(row 1;"),
        ("text,label\n好,\n", "1 rows"),
        ("content,label\n好,pos\n", "no text"),
        ("text,stars\n好,5\n", "no label"),
        ("text,label,weight\n好,pos,heavy\n", "numbers in the column weight"),
        ("", "cannot be read so"),
        ('text,label\n"秘密,pos\n', "秘密以外"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_without_quoting_it(
    content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    file = tmp_path / "bad.csv"
    file.write_text(content, encoding="utf-8")
    assert main(["sentiment", "train", str(file), "--out", str(tmp_path / "m.model")]) == 3
    said = capsys.readouterr().err
    assert "秘密" not in said and "good" not in said and not (tmp_path / "m.model").exists()
    if words != "秘密以外":
        assert re.search(words, " ".join(said.split()))


def test_latin1_and_missing_files_are_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latin.csv").write_bytes("text,label\né,pos\n".encode("latin-1"))
    (tmp_path / "not.parquet").write_bytes(b"PAR1")
    for name, words in (("latin.csv", "UTF-8"), ("not.parquet", "Parquet"), ("none.csv", "no such file")):
        assert main(["sentiment", "train", str(tmp_path / name), "--out", str(tmp_path / "m.model")]) == 3
        assert words in capsys.readouterr().err


def test_a_column_of_numbers_is_no_column_of_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"text": [1, 2], "label": ["pos", "neg"]}), tmp_path / "n.parquet")
    assert main(["sentiment", "train", str(tmp_path / "n.parquet"), "--out", str(tmp_path / "m.model")]) == 3
    assert "texts in the column text" in capsys.readouterr().err


def test_every_line_of_a_file_with_one_column_is_scored_an_empty_one_too(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("text\n\n😀\n\n好吃\n", encoding="utf-8")
    out = tmp_path / "scored.parquet"
    assert (
        main(["sentiment", "score", str(tmp_path / "posts.csv"), "--model", str(kept), "--out", str(out)])
        == 0
    )
    assert pq.read_table(out)["text"].to_pylist() == ["", "😀", "", "好吃"]


def test_two_columns_of_texts_are_refused_in_words(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "posts.csv").write_text("text,text,label\na,b,pos\n", encoding="utf-8")
    assert main(["sentiment", "evaluate", str(tmp_path / "posts.csv"), "--model", str(kept)]) == 3
    assert "two or more: text" in " ".join(capsys.readouterr().err.split())


def test_a_model_that_was_altered_is_not_used(
    labelled: Path, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.csv"
    command = ["sentiment", "score", str(labelled), "--model", str(kept), "--out", str(out)]
    assert main([*command, "--sha256", "0" * 64]) == 3
    kept.write_bytes(kept.read_bytes()[:-1])
    assert main(command) == 3
    assert "not the model file" in capsys.readouterr().err and not out.exists()


def test_training_that_cannot_write_leaves_the_champion(labelled: Path, kept: Path) -> None:
    before = kept.read_bytes()
    os.truncate(labelled, 400)  # too few labels are left
    assert main(["sentiment", "train", str(labelled), "--out", str(kept)]) == 3
    assert kept.read_bytes() == before
