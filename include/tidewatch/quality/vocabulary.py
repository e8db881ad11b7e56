"""The expectations a gate may use: Great Expectations' names, and which arguments each takes.

Great Expectations itself is not imported here (it takes seconds), so a gate file is checked in milliseconds;
a test compares this list with the installed Great Expectations.

An expectation of level "row" says of each row whether it is good; `predicates.py` and `predicates_sql.py`
must then be able to select its bad rows. The other levels speak of the batch as a whole and quarantine
nothing.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["row", "column", "table", "schema"]

_BOUNDS = ("min_value", "max_value")
_STRICT = ("strict_min", "strict_max")


@dataclass(frozen=True)
class Kind:
    """One expectation type: its level and its arguments."""

    level: Level
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    bounded: bool = False
    """At least one of min_value and max_value must be given."""
    conditional: bool = True
    """Takes `where`."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Every argument, the required ones first."""
        bounds = (*_BOUNDS, *_STRICT) if self.bounded else ()
        return (*self.required, *bounds, *self.optional)


def _row(*required: str, bounded: bool = False) -> Kind:
    return Kind("row", ("column", *required), ("mostly",), bounded)


def _column(*required: str, bounded: bool = True) -> Kind:
    return Kind("column", ("column", *required), (), bounded)


KINDS: dict[str, Kind] = {
    "expect_column_values_to_not_be_null": _row(),
    "expect_column_values_to_be_null": _row(),
    "expect_column_values_to_be_between": _row(bounded=True),
    "expect_column_values_to_be_in_set": _row("value_set"),
    "expect_column_values_to_not_be_in_set": _row("value_set"),
    "expect_column_values_to_match_regex": _row("regex"),
    "expect_column_values_to_not_match_regex": _row("regex"),
    "expect_column_values_to_be_unique": _row(),
    "expect_column_value_lengths_to_be_between": _row(bounded=True),
    "expect_column_value_lengths_to_equal": _row("value"),
    "expect_compound_columns_to_be_unique": Kind("row", ("column_list",), ("mostly",)),
    "expect_column_min_to_be_between": _column(),
    "expect_column_max_to_be_between": _column(),
    "expect_column_sum_to_be_between": _column(),
    "expect_column_mean_to_be_between": _column(),
    "expect_column_median_to_be_between": _column(),
    "expect_column_stdev_to_be_between": _column(),
    "expect_column_unique_value_count_to_be_between": _column(),
    "expect_column_proportion_of_unique_values_to_be_between": _column(),
    "expect_column_proportion_of_non_null_values_to_be_between": _column(),
    "expect_column_distinct_values_to_be_in_set": _column("value_set", bounded=False),
    "expect_column_distinct_values_to_contain_set": _column("value_set", bounded=False),
    "expect_column_distinct_values_to_equal_set": _column("value_set", bounded=False),
    "expect_column_most_common_value_to_be_in_set": _column("value_set", bounded=False),
    "expect_table_row_count_to_be_between": Kind("table", bounded=True),
    "expect_table_row_count_to_equal": Kind("table", ("value",)),
    "expect_table_column_count_to_equal": Kind("table", ("value",), conditional=False),
    "expect_column_to_exist": Kind("schema", ("column",), conditional=False),
    "expect_table_columns_to_match_set": Kind("schema", ("column_set",), ("exact_match",), conditional=False),
    "expect_table_columns_to_match_ordered_list": Kind("schema", ("column_list",), conditional=False),
}

NO_PREDICATE: frozenset[str] = frozenset(
    {
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_to_be_in_set",
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_be_dateutil_parseable",
        "expect_column_values_to_be_decreasing",
        "expect_column_values_to_be_in_type_list",
        "expect_column_values_to_be_increasing",
        "expect_column_values_to_be_json_parseable",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_match_json_schema",
        "expect_column_values_to_match_like_pattern",
        "expect_column_values_to_match_like_pattern_list",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_match_strftime_format",
        "expect_column_values_to_not_be_outliers",
        "expect_column_values_to_not_match_like_pattern",
        "expect_column_values_to_not_match_like_pattern_list",
        "expect_column_values_to_not_match_regex_list",
        "expect_multicolumn_sum_to_equal",
        "expect_multicolumn_values_to_be_equal",
        "expect_select_column_values_to_be_unique_within_record",
    }
)
"""Row-level expectations that Great Expectations has and for which Tidewatch cannot select the bad rows."""
