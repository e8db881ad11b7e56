"""What a judgement says, and what it leaves in the database."""

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tidewatch.core.database import Connection, connect
from tidewatch.core.errors import ConfigError, GateFailed
from tidewatch.quality.batch import SqlBatch

from .conftest import Judge, one_batch

BETWEEN = {"type": "expect_column_values_to_be_between", "column": "n", "min_value": 1, "max_value": "$TOP"}
ROWS = pd.DataFrame({"who": ["posts", "comments"], "n": [5, 68]})


def test_a_failed_gate_names_expectation_observed_limit_and_where_to_look(judge_here: Judge) -> None:
    gate = one_batch({**BETWEEN, "note_en": "look for a mass delete"}, key=["who"], show_values=True)
    judgement = judge_here(gate, {"rows": ROWS}, params={"TOP": 10}, subject="ops-1")
    with pytest.raises(GateFailed) as caught:
        judgement.raise_if_failed()
    error = caught.value
    assert "rows.n expect_column_values_to_be_between" in error.what
    assert "ops-1" in error.what
    assert "less than or equal to 10" in error.expected
    assert "1 of 2 rows" in error.found
    assert "comments (n = 68)" in error.found
    assert "look for a mass delete" in error.do
    assert str(judgement.docs) in error.do
    assert "quality.quarantine" in error.do


def test_values_stay_out_of_messages_and_pages_unless_the_gate_allows_them(judge_here: Judge) -> None:
    gate = one_batch(
        {"type": "expect_column_values_to_match_regex", "column": "mail", "regex": "@"},
        {"type": "expect_column_most_common_value_to_be_in_set", "column": "mail", "value_set": ["a"]},
        key=["id"],
    )
    judgement = judge_here(gate, {"rows": pd.DataFrame({"id": [7], "mail": ["13800138000"]})})
    with pytest.raises(GateFailed) as caught:
        judgement.raise_if_failed()
    assert "7" in str(caught.value)
    page = Path(str(judgement.docs)).read_text(encoding="utf-8")
    assert "13800138000" not in str(caught.value) + str(judgement.summary()) + page


def test_a_warning_alone_passes_and_is_reported(judge_here: Judge) -> None:
    judgement = judge_here(one_batch({**BETWEEN, "severity": "warning"}), {"rows": ROWS}, params={"TOP": 10})
    judgement.raise_if_failed()
    assert judgement.passed
    assert [f.severity for f in judgement.warnings] == ["warning"]


def test_results_are_stored_in_the_order_of_the_gate(judge_here: Judge, conn: Connection) -> None:
    gate = one_batch(
        BETWEEN,
        {"type": "expect_table_row_count_to_equal", "value": 2},
        {"type": "expect_table_columns_to_match_set", "column_set": ["n", "whom"], "severity": "warning"},
    )
    judge_here(gate, {"rows": ROWS}, params={"TOP": 10})
    rows = conn.execute("select * from quality.results order by position").fetchall()
    assert [(r["success"], r["unexpected_count"], r["element_count"]) for r in rows] == [
        (False, 1, 2),
        (True, None, None),
        (False, None, None),
    ]
    assert rows[1]["observed"] == "2"
    assert rows[2]["observed"] == "missing: whom; unexpected: who"
    head = conn.execute("select * from quality.judgements").fetchone()
    assert head is not None
    assert (head["passed"], head["staged"], head["published"], head["quarantined"]) == (False, 2, 1, 1)
    assert head["params"] == {"TOP": 10}


def test_judging_the_same_run_again_replaces_and_another_run_adds(
    judge_here: Judge, conn: Connection
) -> None:
    gate = one_batch(BETWEEN)
    judge_here(gate, {"rows": ROWS}, params={"TOP": 1})
    judge_here(gate, {"rows": ROWS}, params={"TOP": 10})
    judge_here(gate, {"rows": ROWS}, params={"TOP": 10}, run_id="r-2")
    counts = (
        "select (select count(*) from quality.judgements) as j, (select count(*) from quality.results) as r, "
    )
    found = conn.execute(counts + "(select count(*) from quality.quarantine) as q").fetchone()
    assert found == {"j": 2, "r": 2, "q": 2}


def test_nothing_is_committed_by_the_gate(judge_here: Judge, conn: Connection) -> None:
    judge_here(one_batch(BETWEEN), {"rows": ROWS}, params={"TOP": 10})
    conn.rollback()
    assert conn.execute("select count(*) as n from quality.judgements").fetchone() == {"n": 0}


def test_two_judges_of_one_run_leave_one_judgement(
    judge_here: Judge, warehouse: str, conn: Connection
) -> None:
    gate, started = one_batch(BETWEEN), threading.Barrier(4)
    failures: list[BaseException] = []

    def one() -> None:
        try:
            with connect(warehouse, application_name="tests") as own:
                started.wait()
                judge_here(gate, {"rows": ROWS}, params={"TOP": 10}, conn=own)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert conn.execute("select count(*) as n from quality.quarantine").fetchone() == {"n": 1}


def test_what_cannot_be_judged_fails_the_gate_even_as_a_warning(judge_here: Judge) -> None:
    frame = pd.DataFrame({"n": [1, "secret"]}, dtype=object)
    judgement = judge_here(one_batch({**BETWEEN, "severity": "warning"}), {"rows": frame}, params={"TOP": 10})
    assert not judgement.passed
    assert judgement.critical[0].observed == "could not be evaluated"


def test_a_column_that_no_batch_has_is_a_clear_error(judge_here: Judge) -> None:
    gate = one_batch({"type": "expect_column_values_to_not_be_null", "column": "whoo"}, key=["id"])
    with pytest.raises(ConfigError, match=r"names columns that batch rows does not have.*did you mean who"):
        judge_here(gate, {"rows": ROWS})


def test_a_gate_that_declares_its_columns_fails_where_one_is_missing(judge_here: Judge) -> None:
    gate = one_batch(
        {"type": "expect_table_columns_to_match_set", "column_set": ["who", "lang"], "exact_match": False},
        {"type": "expect_column_values_to_not_be_null", "column": "lang", "severity": "warning"},
        key=["lang"],
    )
    judgement = judge_here(gate, {"rows": ROWS})
    assert [f.observed for f in judgement.critical] == ["missing: lang", "the batch has no column lang"]


@pytest.mark.parametrize(
    ("batches", "said"),
    [({}, "no batch rows"), ({"rows": ROWS, "rowss": ROWS}, "did you mean rows")],
    ids=["missing", "unknown"],
)
def test_batches_that_do_not_fit_the_gate_are_an_error(judge_here: Judge, batches: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        judge_here(one_batch(BETWEEN), batches, params={"TOP": 1})


def test_a_limit_of_a_kind_that_great_expectations_refuses_is_an_error(judge_here: Judge) -> None:
    gate = one_batch({"type": "expect_column_values_to_be_between", "column": "n", "min_value": "$TOP"})
    with pytest.raises(ConfigError, match="number, a date"):
        judge_here(gate, {"rows": ROWS}, params={"TOP": [1]})


def test_an_empty_batch_passes_row_rules_and_fails_a_row_count(judge_here: Judge) -> None:
    gate = one_batch(BETWEEN, {"type": "expect_table_row_count_to_be_between", "min_value": 1})
    judgement = judge_here(gate, {"rows": ROWS.iloc[:0]}, params={"TOP": 10})
    assert [f.expectation for f in judgement.critical] == ["expect_table_row_count_to_be_between"]


def test_two_columns_of_one_name_are_an_error(judge_here: Judge) -> None:
    frame = pd.DataFrame([[1, 2]], columns=["n", "n"])
    with pytest.raises(ConfigError, match="two columns of one name"):
        judge_here(one_batch(BETWEEN), {"rows": frame}, params={"TOP": 1})


def test_a_query_that_does_not_run_is_a_clear_error_without_the_password(
    judge_here: Judge, warehouse: str
) -> None:
    with pytest.raises(ConfigError, match="does not run") as caught:
        judge_here(
            one_batch(BETWEEN), {"rows": SqlBatch(warehouse, "select * from nowhere")}, params={"TOP": 1}
        )
    assert warehouse not in str(caught.value) + repr(SqlBatch(warehouse, "select 1"))


def test_a_time_without_a_zone_is_refused(judge_here: Judge) -> None:
    with pytest.raises(ValueError, match="zone"):
        judge_here(one_batch(BETWEEN), {"rows": ROWS}, params={"TOP": 1}, now=datetime(2026, 1, 1))  # noqa: DTZ001
