"""Posts of a file into the queue: which ones, and what is said of the others."""

import csv
import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from label_desk import NOW, Desk, given
from test_cli_labels import Run, run

sys.path.insert(0, str(Path(__file__).parent.parent / "sentiment"))

from posts import posts

from tidewatch.core.config import read_yaml
from tidewatch.core.errors import ConfigError, NotFound
from tidewatch.sentiment.labels.deletion import Ref, delete
from tidewatch.sentiment.labels.mapping import LabelsFile
from tidewatch.sentiment.labels.offering import offer_file
from tidewatch.sentiment.labels.queue import forget, queue, waiting
from tidewatch.sentiment.model import Model
from tidewatch.sentiment.registry import promote, register
from tidewatch.sentiment.train import train

__all__ = ["run"]  # the fixture
CONFIG = read_yaml(Path(__file__).parents[2] / "config" / "labels.yaml", LabelsFile)


@pytest.fixture(scope="module")
def model() -> Model:
    texts, labels = posts(300, seed=1)
    return train(texts, labels, seed=7, bits=12)


@pytest.fixture
def champion(desk: Desk, model: Model) -> Model:
    """The model is the champion of the store."""
    for table in ("champions", "models"):
        desk.conn.execute(f"alter table sentiment.{table} disable trigger user".encode())
        desk.conn.execute(f"delete from sentiment.{table}".encode())
        desk.conn.execute(f"alter table sentiment.{table} enable trigger user".encode())
    kept = register(
        desk.conn, model.to_bytes(), dataset_sha256="a" * 64, parameters={}, metrics={}, compared_with=None,
        run=None, by="tests", now=NOW,
    )  # fmt: skip
    promote(desk.conn, kept.version, instead_of=None, by="tests", why="the first", now=NOW)
    desk.conn.commit()
    return model


def file_of(path: Path, texts: list[str], **columns: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", *columns])
        writer.writerows(zip(texts, *columns.values(), strict=True))
    return path


def sureness(model: Model, text: str) -> float:
    row = model.score([text]).to_pylist()[0]
    return float(max(value for name, value in row.items() if name.startswith("p_")))


def test_the_least_sure_posts_wait_and_nothing_else_is_kept(
    desk: Desk, champion: Model, tmp_path: Path
) -> None:
    texts = list(dict.fromkeys(posts(200, seed=5)[0]))
    done = offer_file(
        desk.conn, file_of(tmp_path / "a.csv", texts), CONFIG, mapping="default", most=20, now=NOW
    )
    kept = {r["text"] for r in desk.rows("select text from sentiment.texts")}
    assert done.offered == len(kept) == 20 and done.rows == len(texts) == done.texts
    ordered = sorted(texts, key=lambda text: sureness(champion, text))
    assert max(sureness(champion, text) for text in kept) <= sureness(champion, ordered[20 + done.copies])
    assert done.most == pytest.approx(max(sureness(champion, text) for text in kept), abs=1e-6)
    shown = queue(desk.conn, annotator="li.wei", settings=CONFIG.queue, n=20)
    assert [i.asked_for for i in shown] == ["uncertain"] * 20
    assert waiting(desk.conn, settings=CONFIG.queue) == {
        "conflict": 0, "model_differs": 0, "uncertain": 20, "second": 0,
    }  # fmt: skip
    again = offer_file(desk.conn, tmp_path / "a.csv", CONFIG, mapping="default", most=20, now=NOW)
    assert (again.offered, desk.count("sentiment.posts"), desk.count("sentiment.scores")) == (20, 20, 20)


def test_labelled_and_deleted_posts_and_copies_are_not_asked_about(
    desk: Desk, champion: Model, tmp_path: Path
) -> None:
    labelled, deleted, copied = (
        "这个怎么说呢真的不好说",
        "没想到会是这样的一个结果",
        "转发抽奖活动今晚八点准时开始不见不散",
    )
    desk.give("li.wei", labelled, "neutral")
    desk.give("li.wei", deleted, "neutral")
    delete(desk.conn, [Ref(text_sha256=_sha(deleted))], by="li.wei", reason="asked", now=desk.later())
    desk.append(given("seed:corpus", "种子语料里也有的句子", "negative"), source="seed")
    copies = [f"{copied}{'！' * n}" for n in range(1, 4)]
    path = file_of(tmp_path / "b.csv", [labelled, deleted, *copies, "种子语料里也有的句子"])
    done = offer_file(desk.conn, path, CONFIG, mapping="default", most=50, now=NOW)
    assert (done.labelled, done.copies, done.offered) == (2, 2, 1 + 1)


def test_a_file_needs_no_labels_and_is_read_by_its_mapping(
    desk: Desk, champion: Model, tmp_path: Path
) -> None:
    path = tmp_path / "weibo.csv"
    path.write_text(
        "正文,微博ID,发布时间,别的\n新款到底好不好,4912345678901234,2026-11-01 08:00,x\n"
        ",1,2026-11-01 08:00,x\n"
        "再也不来了,4.91234567890123E+15,2026-11-01 08:00,x\n",
        encoding="gbk",
    )
    done = offer_file(desk.conn, path, CONFIG, mapping="weibo_zh", most=5, now=NOW)
    assert (done.rows, done.offered, dict(done.reasons)) == (3, 1, {"no_text": 1, "id_rounded": 1})
    (item,) = queue(desk.conn, annotator="li.wei", settings=CONFIG.queue)
    assert (item.platform, item.native_id) == ("weibo", "4912345678901234")
    assert item.posted_at is not None and item.posted_at.isoformat() == "2026-11-01T00:00:00+00:00"
    with pytest.raises(ConfigError, match="Label Studio"):
        offer_file(desk.conn, path, CONFIG, mapping="label_studio", most=5, now=NOW)


def test_without_a_champion_the_answer_says_what_to_do(desk: Desk, tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.csv", ["好"])
    for table in ("champions", "models"):
        desk.conn.execute(f"alter table sentiment.{table} disable trigger user".encode())
        desk.conn.execute(f"delete from sentiment.{table}".encode())
    with pytest.raises(NotFound, match="promote a first model"):
        offer_file(desk.conn, path, CONFIG, mapping="default", most=5, now=NOW)


def test_posts_are_offered_checked_and_forgotten_by_command(
    run: Run, desk: Desk, champion: Model, tmp_path: Path
) -> None:
    path = file_of(
        tmp_path / "a.csv", [f"第{n}家店的说法各不相同" + "甲乙丙丁戊己庚辛"[n] * 9 for n in range(8)]
    )
    code, out, _ = run("offer", str(path), "--most", "3", "--check")
    assert code == 0 and "3 wait for a label" in out and "Nothing was kept" in out
    assert desk.count("sentiment.posts") == 0
    desk.conn.rollback()
    code, out, _ = run("offer", str(path), "--most", "3", "--json")
    assert code == 0 and json.loads(out)["offered"] == 3 and "第" not in out
    assert "0 posts are gone" in run("forget", "--older-than", "1d")[1]
    assert run("forget", "--older-than", "soon")[0] == 3
    assert "3 posts would go" in run("forget", "--older-than", "0d", "--check")[1]
    desk.conn.rollback()
    assert desk.count("sentiment.texts") == 3
    desk.conn.rollback()
    assert "3 posts are gone" in run("forget", "--older-than", "0d")[1]
    desk.conn.rollback()
    assert desk.count("sentiment.texts") == 0


def test_what_was_labelled_is_not_forgotten(desk: Desk, champion: Model, tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.csv", ["这一家说不上来", "另外那家很好吃呀"])
    offer_file(desk.conn, path, CONFIG, mapping="default", most=5, now=NOW)
    desk.give("li.wei", "这一家说不上来", "neutral")
    assert forget(desk.conn, before=NOW + timedelta(days=1)) == 1
    assert [r["text"] for r in desk.rows("select text from sentiment.texts")] == ["这一家说不上来"]


def _sha(text: str) -> str:
    from tidewatch.core.canonical import sha256_hex

    return sha256_hex(text.encode())
