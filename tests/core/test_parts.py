"""How objects are cut: within the limits of S3, the same way each time, small while that suffices."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from tidewatch.core.parts import (
    LARGEST,
    MAX_OBJECT,
    MAX_PARTS,
    MIB,
    SMALLEST,
    STEADY,
    count_parts,
    first_size,
    part_length,
)

FIRSTS = st.integers(SMALLEST, 2 * 1024 * MIB)


@given(FIRSTS)
def test_ten_thousand_parts_hold_the_largest_object_and_each_is_allowed(first: int) -> None:
    lengths = [part_length(n, first) for n in range(1, MAX_PARTS + 1)]
    assert set(lengths[:STEADY]) == {first}
    assert lengths == sorted(lengths) and lengths[-1] <= LARGEST
    assert sum(lengths) >= MAX_OBJECT


@given(FIRSTS, st.integers(0, MAX_OBJECT))
def test_the_number_of_parts_is_that_of_the_cut(first: int, size: int) -> None:
    parts = count_parts(size, first)
    assert 1 <= parts <= MAX_PARTS
    before = sum(part_length(n, first) for n in range(1, parts))
    assert before < max(size, 1) and size <= before + part_length(parts, first)


@given(FIRSTS, st.sampled_from([1, 2, STEADY - 1, STEADY, STEADY + 1, STEADY + 2]), st.integers(-1, 1))
def test_every_size_around_a_boundary_is_counted_right(first: int, boundary: int, off: int) -> None:
    ends = list(accumulate(part_length(n, first) for n in range(1, boundary + 1)))
    assert count_parts(ends[-1] + off, first) == boundary + (off > 0)


@given(st.none() | st.integers(0, 2 * MAX_OBJECT), st.integers(SMALLEST, 64 * MIB))
def test_an_object_of_known_size_needs_no_growing_parts(expected: int | None, smallest: int) -> None:
    first = first_size(expected, smallest)
    assert smallest <= first <= LARGEST
    if expected is None or expected * 21 // 20 <= STEADY * smallest:
        assert first == smallest, "small parts while they suffice: memory"
    else:
        assert count_parts(min(expected, MAX_OBJECT) * 21 // 20, first) <= STEADY
