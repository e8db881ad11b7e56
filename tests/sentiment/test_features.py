"""The compiled functions count and score what the plain ones do."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from posts import posts

from tidewatch.sentiment import LABELS
from tidewatch.sentiment.explain import spell
from tidewatch.sentiment.features import PER_CHARACTER, counts, ngrams
from tidewatch.sentiment.model import Model
from tidewatch.text.normalise import normalise

TEXTS = st.lists(st.sampled_from([*"好a é1'，[泪]。@😀", "the ", "don't", "http://t.cn/x"]), max_size=12).map(
    "".join
)


def buckets_of(text: str, bits: int) -> list[int]:
    points = np.array([ord(c) for c in text], np.int32)
    out = np.empty(PER_CHARACTER * (len(points) + 2), np.int32)
    return [int(bucket) for bucket in out[: ngrams(points, len(points), bits, out)]]


def slow_score(model: Model, text: str, *, emoticons: bool = True) -> list[float]:
    """Probabilities, one n-gram after the other."""
    found = buckets_of(normalise(text, emoticons=emoticons), model.bits)
    sums = [sum(int(model.weights[bucket, lane]) for bucket in found) for lane in range(4)]
    scores = [
        bias + step * total / np.sqrt(max(sums[3], 1))
        for bias, step, total in zip(model.header["biases"], model.header["steps"], sums[:3], strict=True)
    ]
    powers = np.exp(np.array(scores) - max(scores))
    return list(powers / powers.sum())


def test_n_grams_of_a_text_are_those_that_are_documented() -> None:
    assert spell("好吃") == [" ", "好", " 好", "吃", "好吃", " 好吃", " ", "吃 ", "好吃 "]
    assert spell("ok go") == [
        " ", "o", " o", "k", "ok", " ok", " ", "k ", "ok ", "ok", " ok", "g", " g", "k g", "ok g",
        "o", "go", " go", "k go", " ", "o ", "go ", "go", "ok go",
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_each_n_gram_has_one_bucket_and_another_n_gram_has_another(text: str) -> None:
    plain = normalise(text)
    places: dict[str, set[int]] = {}
    for ngram, bucket in zip(spell(plain), buckets_of(plain, 31), strict=True):
        assert 0 <= bucket < 2**31
        places.setdefault(ngram, set()).add(bucket)
    kinds = sum(len(found) for found in places.values())
    assert len({bucket for found in places.values() for bucket in found}) == kinds


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXTS, max_size=5), st.booleans())
def test_counts_are_how_often_each_bucket_occurs(texts: list[str], emoticons: bool) -> None:
    ends, columns, times = counts(texts, 12, emoticons=emoticons)
    for row, text in enumerate(texts):
        wanted = np.unique(buckets_of(normalise(text, emoticons=emoticons), 12), return_counts=True)
        assert columns[ends[row] : ends[row + 1]].tolist() == wanted[0].tolist()
        assert times[ends[row] : ends[row + 1]].tolist() == wanted[1].tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXTS | st.sampled_from(posts(40, seed=3)[0]), min_size=1, max_size=5), st.booleans())
def test_the_compiled_score_is_the_slow_one(model: Model, texts: list[str], emoticons: bool) -> None:
    scored = model.score(pa.array(texts), emoticons=emoticons)
    assert scored.schema.names == ["label", "p_negative", "p_neutral", "p_positive"]
    assert scored.schema.types == [pa.int8(), pa.float32(), pa.float32(), pa.float32()]
    for text, row in zip(texts, scored.to_pylist(), strict=True):
        slow = slow_score(model, text, emoticons=emoticons)
        assert np.allclose([row[f"p_{name}"] for name in LABELS], slow, atol=1e-6)
        assert row["label"] == int(np.argmax(slow))
