"""Texts that mean alike look alike afterwards, whatever they are made of."""

import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from slow_normalise import slow_normalise

from tidewatch.text.arrays import utf8
from tidewatch.text.folding import fold
from tidewatch.text.normalise import MENTION, URL, code_points, normalise, normalise_array, tables

PIECES = st.sampled_from(
    [*"a@h[]()_^:;- w.9t泪哈沒Ａ＠［］：）\u3000\u200b\x00\n😀🏽❤\ufe0f\ue000\ue001\U000e0061\U00020000é",
     "http://", "https:/", "www.", "[泪]", "T_T", "@小明", "哈哈哈", "^__^", "::)", "HTTP"]
)  # fmt: skip
TEXTS = st.text(st.characters(), max_size=30) | st.lists(PIECES, max_size=14).map("".join)
EXAMPLES = [
    ("ＡＢＣ１２３，！", "abc123,!"),
    ("這個產品沒有質量問題嗎", "这个产品没有质量问题吗"),
    ("哈哈哈哈哈哈！！！！！！", "哈哈哈!!!"),
    ("赔了1000000元", "赔了1000000元"),
    ("  两\u3000个\n\n空格\t ", "两 个 空格"),
    ("看https://t.cn/A6x?b=1&c=2真的", f"看{URL}真的"),
    ("见www.example.com，以及wwww.什么", f"见{URL},以及www.什么"),
    ("//@人民日报_1:转发微博", f"//{MENTION}:转发微博"),
    ("@United thanks, write to me@example.com", f"{MENTION} thanks, write to me@example.com"),
    ("零\u200b宽\ufeff字\u00ad符", "零宽字符"),
    ("👍🏽❤️", "👍❤"),
    ("[泪]［怒］", "[泪][怒]"),
    ("ÉCOLE Straße ½", "école straße ½"),
    ("", ""),
    ("\x00\x01", ""),
]
WITHOUT = [
    ("好[泪]吧［怒］", "好 吧"),
    ("👍🏽👨‍👩‍👧 ok ❤️", "ok"),
    ("nice :-) really ;) 如下:(1)", "nice really 如下:(1)"),
    ("^_^ T__T o_o foo_o", "foo_o"),
    ("[这是一个很长的方括号]里", "[这是一个很长的方括号]里"),
    ("[[泪]]", "[ ]"),
    ("[泪][泪]", ""),
]


@pytest.mark.parametrize(("text", "wanted"), EXAMPLES)
def test_a_text_has_one_form(text: str, wanted: str) -> None:
    assert normalise(text) == wanted


@pytest.mark.parametrize(("text", "wanted"), WITHOUT)
def test_emoticons_go_where_asked_for(text: str, wanted: str) -> None:
    assert normalise(text, emoticons=False) == wanted


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.booleans())
@example("@a^_^", False)
@example(":)http://a", False)
@example("T_T@name", False)
def test_the_compiled_rules_are_the_written_ones_and_twice_is_once(text: str, emoticons: bool) -> None:
    once = normalise(text, emoticons=emoticons)
    assert once == slow_normalise(text, emoticons=emoticons)
    assert normalise(once, emoticons=emoticons) == once


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.none() | TEXTS.filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t)), max_size=6)
)
def test_many_texts_become_what_each_becomes(texts: list[str | None]) -> None:
    folded = normalise_array(texts)
    folded.validate(full=True)
    assert folded.to_pylist() == [None if text is None else normalise(text) for text in texts]


def test_texts_come_some_megabytes_at_a_time_and_none_is_lost() -> None:
    texts = ["好" * 700_000, "", "差评", "x" * 3_000_000, *["中 文"] * 1000]
    parts = list(code_points(texts))
    assert [which.start for which, _, _ in parts[1:]] == [which.stop for which, _, _ in parts[:-1]]
    assert len(parts) > 2 and parts[-1][0].stop == len(texts)
    read = ["".join(map(chr, points[a:b])) for _, points, ends in parts for a, b in pairwise(ends)]
    assert read == [normalise(text) for text in texts]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=24))
def test_bytes_that_are_no_text_are_passed_over(data: bytes) -> None:
    points = np.empty(len(data), np.int32)
    length = fold(np.frombuffer(data, np.uint8), 0, len(data), *tables(), True, points)
    "".join(map(chr, points[:length])).encode()  # nothing but characters is left
    if _is_text(data):
        assert "".join(map(chr, points[:length])) == normalise(data.decode())


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_lone_surrogates_are_left_out() -> None:
    assert normalise("好\ud83d评\udc00") == "好评"
    assert normalise_array(["好\ud83d评", "好"]).to_pylist() == ["好?评", "好"]


def test_a_text_of_a_megabyte_is_a_text() -> None:
    assert normalise("好评 " * 350_000) == ("好评 " * 350_000).strip()


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), "dictionary", "chunked", "cut"]
)
def test_every_kind_of_column_is_read(kind: pa.DataType | str) -> None:
    texts = ["好", None, "ＡＢ", "", "差评"]
    array: pa.Array | pa.ChunkedArray
    if kind == "dictionary":
        array = pa.array(texts).dictionary_encode()
    elif kind == "chunked":
        array = pa.chunked_array([texts[:2], [], texts[2:]], pa.string())
    elif kind == "cut":
        array = pa.array(["x", *texts, "y"]).slice(1, 5)
    else:
        array = pa.array(texts, kind)
    assert normalise_array(array).to_pylist() == ["好", None, "ab", "", "差评"]


@pytest.mark.parametrize(
    "empty", [[], pa.array([], pa.string()), pa.chunked_array([], pa.string()), pa.nulls(0)]
)
def test_no_texts_are_no_texts(empty: pa.Array) -> None:
    assert normalise_array(empty).to_pylist() == []


def test_numbers_are_no_texts() -> None:
    with pytest.raises(TypeError, match="int64"):
        utf8(pa.array([1, 2]))


def test_the_table_of_characters_leads_nowhere_further() -> None:
    table, _ = tables()
    inside = table[(table > 0) & (table < table.size)]
    assert (table[inside] == inside).all()
    assert table[ord("體")] == ord("体") and table[ord("Ｗ")] == ord("w") and table[0x3000] == 32
    assert all(unicodedata.category(chr(p)) not in {"Cc", "Cs"} for p in np.unique(table)[1:])
