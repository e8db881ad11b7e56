"""A model learns, says why, and is the file it was or none."""

import hashlib
import json
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from posts import posts

from tidewatch.core.canonical import canonical_bytes
from tidewatch.core.errors import ConfigError, IntegrityError, NotFound, TidewatchError
from tidewatch.sentiment import LABELS
from tidewatch.sentiment.model import MAGIC, Model
from tidewatch.sentiment.train import train

BITS = 14


def sealed(content: bytes) -> bytes:
    """What a forger would make of it: the right digest at the end."""
    return content[:-32] + hashlib.sha256(content[:-32]).digest()


def with_header(model: Model, **changed: Any) -> bytes:
    header = canonical_bytes({**model.header, **changed})
    start = MAGIC + struct.pack("<II", 1, len(header)) + header
    return sealed(start + model.weights.tobytes() + bytes(32))


def test_it_learns_what_it_was_shown(model: Model) -> None:
    texts, labels = posts(300, seed=2)
    assert (model.score(texts)["label"].to_numpy() == labels).mean() > 0.95


def test_the_same_data_and_seed_give_the_same_bytes_and_another_seed_others(model: Model) -> None:
    texts, labels = posts(600, seed=1)
    assert train(pa.array(texts), labels.tolist(), seed=7, bits=BITS).to_bytes() == model.to_bytes()
    other = train(texts, labels, seed=8, bits=BITS)
    assert other.to_bytes() != model.to_bytes()
    assert other.header["dataset_sha256"] == model.header["dataset_sha256"]


def test_the_digest_of_the_data_sees_texts_labels_weights_and_where_a_text_ends() -> None:
    texts, labels = posts(80, seed=4)
    weights = np.ones(80)
    weights[3] = 2

    def digest(*given: Any) -> str:
        return str(train(*given, seed=1, bits=BITS).header["dataset_sha256"])

    shifted = [texts[0] + texts[1][0], texts[1][1:], *texts[2:]]
    swapped = labels.copy()
    swapped[:2] = (labels[:2] + 1) % 3
    found = {
        digest(texts, labels),
        digest(shifted, labels),
        digest(texts, swapped),
        digest(texts, labels, weights),
    }
    assert len(found) == 4


def test_a_label_that_is_not_trusted_teaches_nothing() -> None:
    texts, labels = posts(300, seed=5)
    wrong = np.where(np.arange(300) < 150, (labels + 1) % 3, labels)
    trusted = np.where(np.arange(300) < 150, 0.0, 1.0)
    fresh, truth = posts(200, seed=6)

    def accuracy(weights: np.ndarray | None) -> float:
        given = train(texts, wrong, weights, seed=1, bits=BITS).score(fresh)["label"].to_numpy()
        return float((given == truth).mean())

    assert accuracy(trusted) > 0.95 > accuracy(None)


def test_with_balance_rare_classes_are_named_more_often_and_probabilities_stay() -> None:
    texts, labels = posts(900, seed=9)
    kept = (labels == 0) | (np.arange(900) % 12 == 0)
    texts = [text[:6] for text, keep in zip(texts, kept, strict=True) if keep]  # little to go by
    plain, balanced = (
        train(texts, labels[kept], seed=1, bits=BITS, balance=b).score(texts) for b in (0.0, 1.0)
    )
    assert plain.drop_columns("label").equals(balanced.drop_columns("label"))
    assert (balanced["label"].to_numpy() != 0).sum() > (plain["label"].to_numpy() != 0).sum()


def test_two_classes_can_be_enough_and_the_third_is_never_given() -> None:
    texts, labels = posts(200, seed=5, classes=("negative", "positive"))
    two = train(texts, labels, seed=1, classes=("negative", "positive"), bits=BITS)
    scored = two.score(texts)
    assert set(scored["label"].to_pylist()) == {0, 2} and max(scored["p_neutral"].to_pylist()) == 0


@pytest.mark.parametrize(
    "text", ["", "   ", "\u200b", "😀😀😀", "[泪]", "ᄀᄀ", "\ud800", "\x00", "𠀀", "Привет мир", "مرحبا"]
)
def test_every_text_has_probabilities(model: Model, text: str) -> None:
    row = model.score([text]).to_pylist()[0]
    assert sum(row[f"p_{name}"] for name in LABELS) == pytest.approx(1, abs=1e-5)
    assert model.score([text], emoticons=False).num_rows == 1
    assert model.explain(text).label == LABELS[row["label"]]


def test_a_text_of_a_megabyte_has_probabilities(model: Model) -> None:
    row = model.score(["质量很好 really love it😀" * 40_000, "质量很好"]).to_pylist()[0]
    assert row["label"] == 2


def test_a_null_is_scored_as_an_empty_text(model: Model) -> None:
    scored = model.score(pa.array([None, ""])).to_pylist()
    assert scored[0] == scored[1]


def test_without_emoticons_they_say_nothing(model: Model) -> None:
    assert model.score(["好吃[怒]😀"], emoticons=False).equals(model.score(["好吃"]))
    assert not model.score(["好吃[怒]"]).equals(model.score(["好吃"]))


def test_an_explanation_adds_up_to_the_score(model: Model) -> None:
    text = "质量很好，really love it @小店 http://t.cn/x"
    why = model.explain(text, top=10_000)
    row = model.score([text]).to_pylist()[0]
    logs = {name: np.log(row[f"p_{name}"]) for name in LABELS}
    others = np.mean([value for name, value in logs.items() if name != why.label])
    assert why.base + sum(reason.contribution for reason in why.reasons) == pytest.approx(
        logs[why.label] - others, rel=1e-3
    )
    assert why.label == "positive" and why.reasons[0].contribution > 0
    assert why.unseen < 0.5 and model.explain("ღმერთი").unseen > 0.5
    assert any("<mention>" in reason.ngram for reason in why.reasons)


def test_a_file_is_read_as_it_was_written(model: Model, tmp_path: Path) -> None:
    digest = model.save(tmp_path / "m.model")
    assert digest == hashlib.sha256((tmp_path / "m.model").read_bytes()).hexdigest()
    read = Model.load(tmp_path / "m.model", expect_sha256=digest)
    texts, _ = posts(50, seed=3)
    assert read.score(texts).equals(model.score(texts)) and read.header == model.header
    assert read.to_bytes() == model.to_bytes()


def test_writing_that_is_killed_leaves_the_file_that_was_there(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(b"the champion")
    monkeypatch.setattr("tidewatch.core.files.move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    assert path.read_bytes() == b"the champion"
    monkeypatch.undo()
    model.save(path)
    assert Model.load(path).to_bytes() == model.to_bytes()


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_one_changed_byte_is_refused(model: Model, place: float, flip: int) -> None:
    content = bytearray(model.to_bytes())
    content[int(place * len(content))] ^= flip
    with pytest.raises(TidewatchError):
        Model.from_bytes(bytes(content))


@pytest.mark.parametrize("length", [0, 10, 16, 40, 100, 1000, -33, -1])
def test_a_file_cut_short_is_refused(model: Model, length: int) -> None:
    with pytest.raises(IntegrityError, match="not the model file"):
        Model.from_bytes(model.to_bytes()[:length])


def test_a_file_of_another_version_is_refused_and_says_which(model: Model) -> None:
    content = bytearray(model.to_bytes())
    content[16] = 2
    with pytest.raises(ConfigError, match=r"a newer Tidewatch.*file format.*version 2.*update Tidewatch"):
        Model.from_bytes(sealed(bytes(content)))
    with pytest.raises(ConfigError, match=r"an older Tidewatch.*normalise.*train the model again"):
        Model.from_bytes(with_header(model, normalise=0))


@pytest.mark.parametrize(
    "changed",
    [{"bits": 60}, {"bits": 15}, {"bits": "14"}, {"biases": [1.0]}, {"steps": "abc"}, {"features": None},
     {"labels": ["a", "b", "c"]}, {"leanings": [[0.0]]}, {"bits": 14.5}, {"biases": [None, 0.0, 0.0]},
     {"dataset_sha256": "none"}, {"parameters": None}, {"metrics": "none"}, {"metrics": {}},
     {"metrics": {"held_out": {}, "held_out_without_emoticons": None}}],
)  # fmt: skip
def test_a_header_that_does_not_fit_is_refused_even_with_the_right_digest(
    model: Model, changed: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError):
        Model.from_bytes(with_header(model, **changed))
    assert Model.from_bytes(with_header(model)).to_bytes() == model.to_bytes()


@pytest.mark.parametrize(
    ("there", "instead"),
    [(b'"bits":14', b'"bits":14.0'), (b'"features":1', b'"features":1e999'),
     (b'"steps":[', b'"steps":[NaN,0.0,0.0],"was":['),
     (b'"steps":[', b'"steps":[1' + b"0" * 400 + b',0,0],"was":['),
     (b'{', b"[" * 100_000)],
)  # fmt: skip
def test_a_header_that_no_tidewatch_writes_is_refused_in_words(
    model: Model, there: bytes, instead: bytes
) -> None:
    header = canonical_bytes(model.header).replace(there, instead, 1)
    start = MAGIC + struct.pack("<II", 1, len(header)) + header
    with pytest.raises(IntegrityError, match="a header as docs/sentiment"):
        Model.from_bytes(sealed(start + model.weights.tobytes() + bytes(32)))


def test_half_a_weight_is_refused_in_words(model: Model) -> None:
    content = model.to_bytes()
    with pytest.raises(IntegrityError, match="weights for 2"):
        Model.from_bytes(sealed(content[:-33] + bytes(32)))


def test_another_file_than_the_expected_one_is_refused(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m.model")
    with pytest.raises(IntegrityError, match="SHA-256 0000"):
        Model.load(tmp_path / "m.model", expect_sha256="0" * 64)
    with pytest.raises(NotFound):
        Model.load(tmp_path / "none.model")
    (tmp_path / "pickle").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(IntegrityError, match="begins with"):
        Model.load(tmp_path / "pickle")


def test_the_header_is_json_that_anybody_can_read(model: Model) -> None:
    content = model.to_bytes()
    schema, length = struct.unpack_from("<II", content, 16)
    header = json.loads(content[24 : 24 + length])
    assert schema == 1 and header["labels"] == list(LABELS) and header["texts"].keys() == set(LABELS)
    assert header["metrics"]["held_out"]["n"] == 600
    assert "price" not in json.dumps(header) and "质量" not in json.dumps(header, ensure_ascii=False)
    assert len(content) == 24 + length + 4 * 2 * 2**BITS + 32


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0] * 40 + [2] * 40, "0 of neutral"),
        ([0] * 38 + [1] * 2 + [2] * 40, "2 of neutral"),
        ([3] * 80, "a label 3"),
        ([-1] * 80, "a label -1"),
        ([0, 1, 2], "3 labels for 80 texts"),
        ([], "none"),
        ([0.5] * 80, "float64"),
    ],
)
def test_labels_that_nothing_can_be_learned_from_are_refused_in_words(labels: list[int], words: str) -> None:
    texts, _ = posts(80, seed=1)
    with pytest.raises(ConfigError, match=words):
        train(texts, labels, seed=1, bits=BITS)


def test_weights_that_are_none_are_refused() -> None:
    texts, labels = posts(80, seed=1)
    for weights in ([1.0] * 79, [-1.0] * 80, [float("nan")] * 80, [0.0] * 80):
        with pytest.raises(ConfigError, match="weight"):
            train(texts, labels, weights, seed=1, bits=BITS)


def test_contradicting_labels_of_one_text_are_learned_as_doubt() -> None:
    texts, labels = posts(300, seed=1)
    doubted = train([*texts, *["说不清"] * 40], [*labels, *[0, 2] * 20], seed=1, bits=BITS).score(["说不清"])
    row = doubted.to_pylist()[0]
    assert min(row["p_negative"], row["p_positive"]) > 0.1 > row["p_neutral"]


def test_texts_that_all_look_alike_teach_nothing() -> None:
    with pytest.raises(ConfigError, match="look all alike"):
        train(["好"] * 60, [0] * 30 + [1] * 20 + [2] * 10, seed=1, bits=BITS)


def test_two_who_save_to_one_path_leave_one_whole_model(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "sentiment.model"
    texts, labels = posts(100, seed=9)
    models = [model, train(texts, labels, seed=9, bits=12)]
    ready = threading.Barrier(2)

    def save(one: Model) -> str:
        ready.wait(60)
        for _ in range(10):
            digest = one.save(path)
        return digest

    with ThreadPoolExecutor(2) as pool:
        saved = set(pool.map(save, models))
    assert hashlib.sha256(Model.load(path).to_bytes()).hexdigest() in saved
    assert [p.name for p in tmp_path.iterdir()] == ["sentiment.model"]
