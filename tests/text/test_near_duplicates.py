"""Near-duplicates are what a comparison of all pairs finds, in any order; copies are always together."""

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatch.text.near_duplicates import groups
from tidewatch.text.normalise import normalise

POST = "客服很耐心，就是物流太慢了，等了好几天才到货"
SOME = st.text(alphabet="ab1 好了吗，。…", max_size=12)
EDITED = st.tuples(st.sampled_from([POST, "the parcel came on tuesday", "好"]), st.integers(0, 30), SOME).map(
    lambda of: of[0][: of[1]] + of[2] + of[0][of[1] + 1 :]
)
TEXTS = st.lists(st.one_of(SOME, EDITED), max_size=14)


def ngrams(text: str) -> set[str]:
    """As the module says it, without a hash: the slow way."""
    normal = normalise(text)
    words = re.sub(r"""[!-/:-@\[-`{-~\u2010-\u205e\u3001-\u3003\u3008-\u301f·]+""", " ", normal)
    words = re.sub(" +", " ", words).strip() or normal
    padded, found = f"    {words} ", set()
    for last in range(5, len(padded) if words else 0):
        point = ord(padded[last])
        letter = 97 <= point <= 122 or 48 <= point <= 57 or 0xC0 <= point < 0x1100
        found.add(padded[last - (4 if letter else 2) : last + 1])
    return found


def similar(one: str, two: str, threshold: float) -> bool:
    first, second = ngrams(one), ngrams(two)
    return first == second or len(first & second) / len(first | second) >= threshold


def compared(texts: list[str], threshold: float) -> set[frozenset[int]]:
    """Groups from a comparison of all pairs."""
    found = {n: {n} for n in range(len(texts))}
    for one, two in combinations(range(len(texts)), 2):
        if similar(texts[one], texts[two], threshold) and found[one] is not found[two]:
            found[one] |= found[two]
            for member in found[two]:
                found[member] = found[one]
    return {frozenset(group) for group in found.values()}


def grouped(texts: list[str], **how: float) -> set[frozenset[int]]:
    numbers = groups(texts, **how)  # type: ignore[arg-type]
    return {frozenset(np.flatnonzero(numbers == number).tolist()) for number in set(numbers.tolist())}


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.sampled_from([0.3, 0.5, 0.7, 0.8, 1.0]), st.integers(0, 2**70))
def test_groups_are_those_of_a_comparison_of_all_pairs(texts: list[str], threshold: float, seed: int) -> None:
    assert grouped(texts, threshold=threshold, seed=seed) == compared(texts, threshold)


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_the_order_of_the_texts_and_the_number_of_their_copies_change_nothing(
    texts: list[str], random: object
) -> None:
    mixed = list(enumerate([*texts, *texts]))
    random.shuffle(mixed)  # type: ignore[attr-defined]
    again = grouped([text for _, text in mixed])
    assert {frozenset(mixed[n][0] % len(texts) for n in group) for group in again} == grouped(texts)


def test_what_looks_alike_once_normalised_is_together() -> None:
    found = groups([POST, POST.replace("，", ","), "物流太快了", f"  {POST}", "", None, "　", "物流太快啦"])
    assert found.tolist() == [0, 0, 1, 0, 2, 2, 2, 3]


def test_punctuation_makes_no_other_text_unless_there_is_nothing_else() -> None:
    found = groups(
        ["说好的发票呢", "说好的发票呢！", "“说好的”发票呢…", "说好的，发票呢", "！！！", "？？？", "!!!"]
    )
    assert found.tolist() == [0, 0, 1, 1, 2, 3, 2]


def test_a_chain_joins_texts_that_are_not_alike_themselves() -> None:
    chain = [POST, POST[:-3], POST[:-6], POST[:-9]]
    assert not similar(chain[0], chain[3], 0.7)
    assert grouped(chain) == {frozenset(range(4))}
    assert grouped([chain[0], chain[3]]) == {frozenset({0}), frozenset({1})}


def test_many_copies_with_tails_of_their_own_are_one_group_and_others_are_left_alone() -> None:
    random = np.random.default_rng(3)
    others = ["".join(map(chr, random.integers(0x4E00, 0x9000, 40))) for _ in range(3000)]
    copies = [f"{POST}，还要再说一遍，{POST[::-1]}{tail[:3]}" for tail in others]
    found = groups(others + copies)
    assert len(set(found.tolist())) == 3001 and len(set(found[3000:].tolist())) == 1


def test_texts_of_any_length_and_none_at_all() -> None:
    assert groups([]).dtype == np.int64 and groups([]).size == 0
    long = "这件事情" * 50_000 + "后来"
    assert groups([long, "好", long + "呢", "😀"]).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("threshold", [0, 1.1, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold above 0 and up to 1"):
        groups(["好"], threshold=threshold)
