"""The rowset digest: equal if and only if the multisets of rows are equal."""

import hashlib
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tidewatch.vault.rowset import RowSet

# Few distinct rows, so that equal multisets and near misses are common.
ROWS = st.lists(
    st.sampled_from([b"\n", b"a\n", b"b\n", b"a\tb\n", b"\\N\n"]) | st.binary(max_size=3), max_size=8
)


def digest(rows: list[bytes]) -> str:
    found = RowSet()
    found.add_rows(rows)
    return found.sha256


@given(ROWS, ROWS)
def test_digests_are_equal_exactly_when_the_multisets_of_rows_are(one: list[bytes], two: list[bytes]) -> None:
    assert (digest(one) == digest(two)) == (Counter(one) == Counter(two))


@given(ROWS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_the_order_of_rows_does_not_matter(rows: tuple[list[bytes], list[bytes]]) -> None:
    assert digest(rows[0]) == digest(rows[1])


@given(ROWS, st.integers(0, 8))
def test_rows_may_be_counted_apart_and_merged(rows: list[bytes], cut: int) -> None:
    left, right = RowSet(), RowSet()
    left.add_rows(rows[:cut])
    right.add_rows(rows[cut:])
    left.merge(right)
    assert (left.count, left.sha256) == (len(rows), digest(rows))


@given(st.lists(st.text("ab\\t", max_size=5), max_size=6), st.lists(st.integers(0, 40), max_size=10))
def test_a_text_stream_may_be_cut_anywhere(lines: list[str], cuts: list[int]) -> None:
    rows = [line.encode() + b"\n" for line in lines]
    text = b"".join(rows)
    edges = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    streamed = RowSet()
    streamed.add_text(text[a:b] for a, b in pairwise(edges))
    assert (streamed.count, streamed.sha256) == (len(rows), digest(rows))


@given(st.integers(8185, 8200) | st.integers(0, 3))
def test_the_digest_is_the_documented_formula_whatever_the_batches(count: int) -> None:
    """Written out with plain integers, as a reader of docs/vault-format.md would."""
    rows = [b"%d\n" % (i % 100) for i in range(count)]
    total = sum(int.from_bytes(hashlib.sha512(row).digest(), "little") for row in rows) % 2**512
    wanted = hashlib.sha256(b"tidewatch-rowset-1\n%d\n" % count + total.to_bytes(64, "little")).hexdigest()
    assert digest(rows) == wanted


def test_memoryviews_are_hashed_as_their_bytes() -> None:
    found = RowSet()
    found.add_rows(memoryview(row) for row in [b"a\n", b"b\n"])
    assert found.sha256 == digest([b"b\n", b"a\n"])


def test_the_counter_tells_how_far_it_is_after_every_batch() -> None:
    told: list[int] = []
    RowSet().add_rows([b"x\n"] * 20_000, told.append)
    assert told == [8192, 16384, 20_000]


def test_the_digest_never_changes_between_versions_of_the_program() -> None:
    """Manifests of years ago must still compare: a change here is a new algorithm with a new name."""
    assert digest([]) == "f0ae60f1988147c7130e0dc02093d3fe545a7382c1429091809bc119e270af01"
    assert (
        digest([b"1\tone\n", b"1\tone\n", b"2\t\\N\n"])
        == "4ae329c8208162e9e04ac4fdf273c26d034db40fa75c164e401d87576e6677b7"
    )
