"""The rows that we quarantine are the rows that Great Expectations refused, whatever the data."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tidewatch.core.database import Connection
from tidewatch.core.errors import ConfigError, IntegrityError
from tidewatch.quality import quarantine
from tidewatch.quality.batch import SqlBatch

from .conftest import NOW, Judge, one_batch

RULES: list[dict[str, Any]] = [
    {"type": "expect_column_values_to_not_be_null", "column": "number"},
    {"type": "expect_column_values_to_be_null", "column": "text"},
    {"type": "expect_column_values_to_be_between", "column": "number", "min_value": -1, "max_value": 3},
    {
        "type": "expect_column_values_to_be_between",
        "column": "number",
        "min_value": -1,
        "max_value": 3,
        "strict_min": True,
        "strict_max": True,
    },
    {
        "type": "expect_column_values_to_be_between",
        "column": "number",
        "min_value": 0.5,
        "where": {"flag": True},
    },
    {"type": "expect_column_values_to_be_between", "column": "at", "max_value": "2026-11-20T00:00:00+00:00"},
    {"type": "expect_column_values_to_be_in_set", "column": "text", "value_set": ["a", "差评", "it's"]},
    {"type": "expect_column_values_to_be_in_set", "column": "flag", "value_set": [True]},
    {"type": "expect_column_values_to_not_be_in_set", "column": "text", "value_set": ["a", "b"]},
    {"type": "expect_column_values_to_match_regex", "column": "text", "regex": "^[a-z]+$"},
    {"type": "expect_column_values_to_not_match_regex", "column": "text", "regex": "评"},
    {"type": "expect_column_values_to_be_unique", "column": "text"},
    {"type": "expect_column_values_to_be_unique", "column": "text", "where": {"flag": True, "number": 2}},
    {"type": "expect_column_value_lengths_to_be_between", "column": "text", "min_value": 2, "max_value": 3},
    {"type": "expect_column_value_lengths_to_equal", "column": "text", "value": 2, "where": {"text": "差评"}},
    {"type": "expect_compound_columns_to_be_unique", "column_list": ["number", "text"]},
]

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.sampled_from([None, -1.0, 0.0, 0.5, 2.0, 3.0, 1e300]),
            "text": st.sampled_from([None, "", "a", "b", "差评", "it's", 'x"y', "%s", "{}", "长长的文字"]),
            "flag": st.sampled_from([None, True, False]),
            "at": st.sampled_from(
                [None, "2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"]
            ),
        }
    ),
    max_size=8,
)

SEVERAL = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    # Without shrinking: an example costs a run of Great Expectations, and eight rows are few enough to read.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["number", "text", "flag", "at"])
    frame["flag"] = frame["flag"].astype(object)
    frame["text"] = frame["text"].astype(object)
    return frame.assign(at=pd.to_datetime(frame["at"], utc=True), number=frame["number"].astype(float))


def naive(rule: dict[str, Any], rows: list[dict[str, Any]]) -> set[int]:
    """Bad rows by the meaning of the words, one row at a time; only for the rules it knows."""
    bad = set()
    for i, row in enumerate(rows):
        value = row[rule["column"]]
        if rule["type"] == "expect_column_values_to_not_be_null":
            wrong = value is None
        elif rule["type"] == "expect_column_values_to_be_in_set":
            wrong = value is not None and value not in rule["value_set"]
        else:
            low, high, strict = rule["min_value"], rule["max_value"], rule.get("strict_min", False)
            wrong = value is not None and not ((low < value < high) if strict else (low <= value <= high))
        if wrong:
            bad.add(i)
    return bad


@settings(SEVERAL, max_examples=15)
@given(rows=ROWS)
def test_frames_agree_with_great_expectations_and_with_the_words(
    judge_here: Judge, conn: Connection, rows: Any
) -> None:
    gate = one_batch(*RULES)
    judgement = judge_here(
        gate, {"rows": frame_of(rows)}, docs_dir=None, gx_dir=None
    )  # raises if counts differ
    assert judgement.staged == len(rows) == judgement.published + judgement.quarantined
    results = conn.execute("select * from quality.results order by position").fetchall()
    assert [r["evaluated"] for r in results] == [True] * len(RULES), results
    for position in (0, 2, 3, 6):
        assert results[position]["unexpected_count"] == len(naive(RULES[position], rows)), RULES[position]
    stored = conn.execute("select position from quality.quarantine").fetchall()
    assert {s["position"] for s in stored} >= naive(RULES[0], rows) | naive(RULES[2], rows)
    assert len(stored) == judgement.quarantined


@settings(SEVERAL, max_examples=8)
@given(rows=ROWS)
def test_queries_agree_with_great_expectations_and_with_the_words(
    judge_here: Judge, conn: Connection, warehouse: str, rows: Any
) -> None:
    conn.execute("drop table if exists public.staged")
    conn.execute("create table public.staged (number float8, text text, flag boolean, at timestamptz)")
    with conn.cursor() as cursor:
        cursor.executemany("insert into public.staged values (%(number)s, %(text)s, %(flag)s, %(at)s)", rows)
    conn.commit()
    batch = SqlBatch(warehouse, "select * from public.staged -- all of it;\n;")
    judgement = judge_here(one_batch(*RULES), {"rows": batch}, docs_dir=None, gx_dir=None)
    assert judgement.staged == len(rows) == judgement.published + judgement.quarantined
    results = conn.execute("select * from quality.results order by position").fetchall()
    assert [r["evaluated"] for r in results] == [True] * len(RULES), results
    for position in (0, 2, 3, 6):
        assert results[position]["unexpected_count"] == len(naive(RULES[position], rows)), RULES[position]
    count = conn.execute("select count(*) as n from quality.quarantine").fetchone()
    assert count == {"n": judgement.quarantined}


def test_a_row_refused_twice_stands_once_with_both_reasons(judge_here: Judge, conn: Connection) -> None:
    gate = one_batch(
        {"type": "expect_column_values_to_be_between", "column": "n", "min_value": 1},
        {"type": "expect_column_values_to_be_in_set", "column": "t", "value_set": ["x"]},
        key=["t"],
    )
    judgement = judge_here(gate, {"rows": pd.DataFrame({"n": [0, 5], "t": ["y", "x"]})})
    rows = conn.execute("select * from quality.quarantine").fetchall()
    assert judgement.quarantined == len(rows) == 1
    assert rows[0]["row"] == {"n": 0, "t": "y"}
    assert rows[0]["row_key"] == {"t": "y"}
    assert rows[0]["reason"].count(";") == 1


def test_bad_rows_of_a_warning_are_told_and_published(judge_here: Judge) -> None:
    gate = one_batch({"type": "expect_column_values_to_not_be_null", "column": "n", "severity": "warning"})
    judgement = judge_here(gate, {"rows": pd.DataFrame({"n": [1.0, None]})})
    assert judgement.passed
    assert (judgement.quarantined, judgement.published, len(judgement.warnings)) == (0, 2, 1)


def test_a_gate_that_tolerates_some_bad_rows_passes_and_still_quarantines_them(judge_here: Judge) -> None:
    gate = one_batch({"type": "expect_column_values_to_not_be_null", "column": "n", "mostly": 0.5})
    frame = pd.DataFrame({"n": [1.0, None, 3.0]}, index=[7, 7, 9])
    judgement = judge_here(gate, {"rows": frame})
    assert judgement.passed
    assert (judgement.staged, judgement.published, judgement.quarantined) == (3, 2, 1)
    assert judgement.keep("rows", frame)["n"].tolist() == [1.0, 3.0]


def test_more_bad_rows_than_great_expectations_lists_are_all_quarantined(
    judge_here: Judge, conn: Connection
) -> None:
    gate = one_batch({"type": "expect_column_values_to_be_between", "column": "n", "max_value": 9})
    judgement = judge_here(gate, {"rows": pd.DataFrame({"n": range(5000)})})
    assert judgement.quarantined == 4990
    assert conn.execute("select count(*) as n from quality.quarantine").fetchone() == {"n": 4990}


def test_odd_values_reach_the_quarantine_as_json(judge_here: Judge, conn: Connection) -> None:
    frame = pd.DataFrame(
        {
            "k": [None],
            "nul": ["a\x00b"],
            "half": ["\ud800"],
            "nat": [pd.NaT],
            "day": [pd.Timestamp("2026-11-22T01:02:03Z")],
            "inf": [float("inf")],
            "big": [2**70],
            "list": [[1, {"x": np.float32(0.5)}]],
            "bytes": [b"\x00\xff"],
        }
    )
    judge_here(one_batch({"type": "expect_column_values_to_not_be_null", "column": "k"}), {"rows": frame})
    found = conn.execute("select row from quality.quarantine").fetchone()
    assert found is not None
    assert found["row"] == {
        "k": None,
        "nul": "a␀b",
        "half": "\\ud800",
        "nat": None,
        "day": "2026-11-22T01:02:03+00:00",
        "inf": "inf",
        "big": 2**70,
        "list": [1, {"x": 0.5}],
        "bytes": "00ff",
    }


def test_a_predicate_that_disagrees_stops_the_gate_and_stores_nothing(
    judge_here: Judge, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "bad_rows", lambda frame, _: np.zeros(len(frame), dtype=np.bool_))
    gate = one_batch({"type": "expect_column_values_to_not_be_null", "column": "n"})
    with pytest.raises(IntegrityError, match=r"1 rows.*0 rows"):
        judge_here(gate, {"rows": pd.DataFrame({"n": [None]})})
    assert conn.execute("select count(*) as n from quality.judgements").fetchone() == {"n": 0}


@pytest.mark.parametrize("query", ["select 7 % 2 as n", "select ' :n' as n"])
def test_a_query_that_great_expectations_would_misread_is_refused(query: str) -> None:
    with pytest.raises(ConfigError, match="stage the rows in a table or a view"):
        SqlBatch("", query)


def test_signs_of_templates_in_values_and_limits_are_only_text(
    judge_here: Judge, conn: Connection, warehouse: str
) -> None:
    conn.execute(
        "create table public.staged as select 'a%b :y %s {z} $1'::text as t, 'x'::text as \"odd {col}\""
    )
    conn.commit()
    gate = one_batch(
        {"type": "expect_column_values_to_be_in_set", "column": "t", "value_set": ["a%b :y %s {z} $1", "%"]},
        {"type": "expect_column_values_to_match_regex", "column": "t", "regex": "%b :y %s"},
        {"type": "expect_column_values_to_be_in_set", "column": "odd {col}", "value_set": ["%s"]},
    )
    judgement = judge_here(
        gate, {"rows": SqlBatch(warehouse, "select * from public.staged where 1::int = 1")}
    )
    assert [f.column for f in judgement.critical] == ["odd {col}"]
    found = conn.execute("select row from quality.quarantine").fetchone()
    assert found == {"row": {"t": "a%b :y %s {z} $1", "odd {col}": "x"}}


def test_a_query_may_not_write(judge_here: Judge, conn: Connection, warehouse: str) -> None:
    conn.execute("create table public.staged (n int)")
    conn.execute(
        "create function public.sneak() returns int language sql as "
        "'insert into public.staged values (1) returning n'"
    )
    conn.commit()
    gate = one_batch({"type": "expect_table_row_count_to_equal", "value": 1})
    with pytest.raises(Exception, match="read-only"):
        judge_here(gate, {"rows": SqlBatch(warehouse, "select public.sneak() as n")}, now=NOW)
    assert conn.execute("select count(*) as n from public.staged").fetchone() == {"n": 0}
