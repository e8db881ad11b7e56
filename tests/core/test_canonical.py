"""One value has one canonical form, and what JSON cannot carry is refused."""

import json
from datetime import UTC, datetime
from enum import StrEnum

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tidewatch.core.canonical import canonical_bytes, digest, sha256_hex
from tidewatch.core.errors import IntegrityError

SAFE = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: not SAFE < abs(f) < 1e21)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: object) -> object:
    if isinstance(value, dict):
        return {k: shuffled(v) for k, v in reversed(value.items())}
    return [shuffled(v) for v in value] if isinstance(value, list) else value


@given(VALUES)
def test_the_canonical_form_means_the_same_and_is_a_fixed_point(value: object) -> None:
    form = canonical_bytes(value)
    assert json.loads(form) == value
    assert canonical_bytes(json.loads(form)) == form


@given(VALUES)
def test_the_order_of_keys_does_not_matter(value: object) -> None:
    assert digest(shuffled(value)) == digest(value)


@given(VALUES)
def test_the_fast_form_is_that_of_the_reference_library(value: object) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@given(st.lists(VALUES, max_size=4))
def test_an_iterator_is_written_as_the_list_of_what_it_gives(values: list[object]) -> None:
    assert canonical_bytes({"all": iter(values)}) == canonical_bytes({"all": values})


def test_the_example_of_the_standard_comes_out_as_printed_there() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical_bytes(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_ordered_by_utf16_code_units() -> None:
    assert list(json.loads(canonical_bytes({"\ufb33": 1, "\U0001f600": 2, "ö": 3, "1": 4}))) == [
        "1",
        "ö",
        "\U0001f600",
        "\ufb33",
    ]


class Colour(StrEnum):
    RED = "red"


def test_text_enums_and_tuples_are_text_and_lists() -> None:
    assert canonical_bytes({"a": (Colour.RED, 1)}) == b'{"a":["red",1]}'


@pytest.mark.parametrize(
    "value",
    [
        SAFE + 1,
        -SAFE - 1,
        float("nan"),
        float("inf"),
        2.0**53,
        {"a": [1, (-1e20,)]},
        b"bytes",
        {1: "x"},
        {"\ud800": 1},
        "\udfff",
        datetime(2026, 11, 22, tzinfo=UTC),
        {"a": {1, 2}},
    ],
)
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(IntegrityError, match="no canonical JSON form"):
        canonical_bytes(value)


def test_a_digest_is_the_sha256_of_the_canonical_form() -> None:
    assert (
        digest({}) == sha256_hex(b"{}") == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
