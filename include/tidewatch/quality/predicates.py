"""Which rows of a pandas frame are bad, one predicate for each row-level expectation.

Great Expectations counts bad rows but cuts the lists it returns, so the rows themselves are selected here.
Each predicate means exactly what Great Expectations means by it; `quarantine.py` compares the counts.
Unless said otherwise a null is not judged: say so with expect_column_values_to_not_be_null.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tidewatch.quality.gate import Expectation

Mask = npt.NDArray[np.bool_]


def bad_rows(frame: pd.DataFrame, expectation: Expectation) -> Mask:
    """True for each row of `frame` that the row-level `expectation` (parameters put in) refuses."""
    scope = np.ones(len(frame), dtype=np.bool_)
    for column, value in expectation.where.items():
        scope &= _array(frame[column] == value)
    result = np.zeros(len(frame), dtype=np.bool_)
    chosen = frame.loc[scope]
    if len(chosen):
        result[scope] = PREDICATES[expectation.type](chosen, expectation.arguments)
    return result


def _array(series: Any) -> Mask:
    """A mask; an unknown (pandas.NA) is False."""
    return np.asarray(series.fillna(False), dtype=np.bool_)


def _judged(predicate: Callable[["pd.Series[Any]", dict[str, Any]], Any]) -> Callable[..., Mask]:
    """A predicate on one column that sees its non-null values only and returns True for the good ones."""

    def bad(frame: pd.DataFrame, arguments: dict[str, Any]) -> Mask:
        column = frame[arguments["column"]]
        there = _array(column.notna())
        result = np.zeros(len(frame), dtype=np.bool_)
        if there.any():
            result[there] = ~np.asarray(predicate(column[there], arguments), dtype=np.bool_)
        return result

    return bad


def _within(values: "pd.Series[Any]", arguments: dict[str, Any]) -> Any:
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        low, high = (pd.Timestamp(b) if isinstance(b, str) else b for b in (low, high))
    elif not pd.api.types.is_numeric_dtype(values.dtype):
        return [_one_within(v, low, high, arguments) for v in values]
    good = np.ones(len(values), dtype=np.bool_)
    if low is not None:
        good &= np.asarray(values > low if arguments.get("strict_min") else values >= low, dtype=np.bool_)
    if high is not None:
        good &= np.asarray(values < high if arguments.get("strict_max") else values <= high, dtype=np.bool_)
    return good


def _one_within(value: Any, low: Any, high: Any, arguments: dict[str, Any]) -> bool:
    if low is not None and not (value > low if arguments.get("strict_min") else value >= low):
        return False
    return high is None or bool(value < high if arguments.get("strict_max") else value <= high)


def _lengths(values: "pd.Series[Any]") -> "pd.Series[Any]":
    return values.astype(str).str.len()


def _matches(values: "pd.Series[Any]", arguments: dict[str, Any]) -> Any:
    return values.astype(str).str.contains(arguments["regex"])


def _is_null(frame: pd.DataFrame, arguments: dict[str, Any]) -> Mask:
    return _array(frame[arguments["column"]].isna())


def _compound(frame: pd.DataFrame, arguments: dict[str, Any]) -> Mask:
    """Rows whose key columns are all null are not judged; nulls in some of them count as equal."""
    key = frame[arguments["column_list"]]
    return np.asarray(key.duplicated(keep=False), dtype=np.bool_) & ~np.asarray(
        key.isna().all(axis=1), dtype=np.bool_
    )


PREDICATES: dict[str, Callable[[pd.DataFrame, dict[str, Any]], Mask]] = {
    "expect_column_values_to_not_be_null": _is_null,
    "expect_column_values_to_be_null": lambda frame, arguments: ~_is_null(frame, arguments),
    "expect_column_values_to_be_between": _judged(_within),
    "expect_column_values_to_be_in_set": _judged(lambda v, a: v.isin(a["value_set"])),
    "expect_column_values_to_not_be_in_set": _judged(lambda v, a: ~v.isin(a["value_set"])),
    "expect_column_values_to_match_regex": _judged(_matches),
    "expect_column_values_to_not_match_regex": _judged(lambda v, a: ~_matches(v, a)),
    "expect_column_values_to_be_unique": _judged(lambda v, a: ~v.duplicated(keep=False)),
    "expect_column_value_lengths_to_be_between": _judged(lambda v, a: _within(_lengths(v), a)),
    "expect_column_value_lengths_to_equal": _judged(lambda v, a: _lengths(v) == a["value"]),
    "expect_compound_columns_to_be_unique": _compound,
}
