"""Gate files: what is wrong with one is said before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from tidewatch.core.errors import ConfigError
from tidewatch.core.settings import load_settings
from tidewatch.quality.gate import Expectation, Gate, load_gate

from .conftest import one_batch

CONFIG = load_settings().config_dir / "gates"


def written(path: Path, expectation: str) -> Path:
    file = path / "g.yaml"
    file.write_text(
        f"gate: g\ndescription: d\nbatches:\n  rows:\n    expectations:\n      - {expectation}\n",
        encoding="utf-8",
    )
    return file


@pytest.mark.parametrize(
    ("expectation", "said"),
    [
        ("{type: expect_column_values_to_be_betwen, column: a}", "expect_column_values_to_be_between"),
        ("{type: expect_column_values_to_be_increasing, column: a}", "docs/gates.md"),
        ("{type: expect_column_values_to_be_between, column: a, min_valu: 1, max_value: 2}", "min_value"),
        ("{type: expect_column_values_to_be_between, column: a}", "min_value, max_value or both"),
        ("{type: expect_column_values_to_be_in_set, column: a}", "needs 'value_set'"),
        ("{type: expect_column_values_to_be_in_set, column: a, value_set: []}", "at least one value"),
        ("{type: expect_column_values_to_match_regex, column: a, regex: '('}", "regular expression"),
        ("{type: expect_column_values_to_not_be_null, column: a, mostly: 95}", "fraction"),
        ("{type: expect_column_values_to_not_be_null, column: a, severity: mild}", "critical"),
        ("{type: expect_column_to_exist, column: a, where: {b: 1}}", "takes no `where`"),
        ("{type: expect_compound_columns_to_be_unique, column_list: a}", "list of column names"),
    ],
)
def test_a_wrong_expectation_is_named_with_its_file_key_and_the_right_form(
    tmp_path: Path, expectation: str, said: str
) -> None:
    file = written(tmp_path, expectation)
    with pytest.raises(ConfigError) as caught:
        load_gate(file)
    assert str(file) in str(caught.value)
    assert "batches.rows.expectations[0]" in str(caught.value)
    assert said in str(caught.value)


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "{type: expect_nothing, column: a}\n      - {type: expect_less, column: a}")
    with pytest.raises(ConfigError, match="2 problems"):
        load_gate(file)


def test_a_gate_has_the_name_of_its_file(tmp_path: Path) -> None:
    file = written(tmp_path, "{type: expect_column_to_exist, column: a}").rename(tmp_path / "other.yaml")
    with pytest.raises(ConfigError, match="gate: other"):
        load_gate(file)


@pytest.mark.parametrize("spelling", ["$LOWEST", {"$PARAMETER": "LOWEST"}])
def test_a_parameter_is_put_in_in_either_spelling(spelling: Any) -> None:
    gate = one_batch({"type": "expect_column_values_to_be_between", "column": "a", "min_value": spelling})
    assert gate.resolved({"LOWEST": 3}).batches["rows"].expectations[0].arguments["min_value"] == 3


def test_a_parameter_inside_a_list_is_put_in() -> None:
    gate = one_batch(
        {"type": "expect_column_values_to_be_in_set", "column": "a", "value_set": ["x", "$ALSO"]}
    )
    assert gate.resolved({"ALSO": "y"}).batches["rows"].expectations[0].arguments["value_set"] == ["x", "y"]


def test_a_parameter_without_a_value_is_an_error_with_near_names() -> None:
    gate = one_batch({"type": "expect_column_values_to_be_between", "column": "a", "min_value": "$LOWST"})
    with pytest.raises(ConfigError, match=r"expectation 1 uses \$LOWST.*did you mean LOWEST"):
        gate.resolved({"LOWEST": 3, "OTHER": 1})


def test_a_wrong_value_of_a_parameter_is_an_error() -> None:
    gate = one_batch({"type": "expect_column_values_to_not_be_null", "column": "a", "mostly": "$PART"})
    with pytest.raises(ConfigError, match="mostly must be a fraction"):
        gate.resolved({"PART": 20})


def test_bounds_that_are_both_empty_once_parameters_are_in_are_an_error() -> None:
    gate = one_batch({"type": "expect_column_values_to_be_between", "column": "a", "min_value": "$LOWEST"})
    with pytest.raises(ConfigError, match="neither a lower nor an upper bound"):
        gate.resolved({"LOWEST": None})


def test_the_digest_of_a_gate_changes_with_a_limit_and_not_with_a_parameter() -> None:
    def gate(limit: Any) -> Gate:
        return one_batch({"type": "expect_table_row_count_to_be_between", "min_value": limit})

    assert gate(1).sha256 != gate(2).sha256
    assert gate("$N").sha256 == gate("$N").sha256


def test_a_gate_cannot_be_changed_after_it_was_read() -> None:
    expectation = Expectation.model_validate({"type": "expect_column_to_exist", "column": "a"})
    with pytest.raises(ValueError, match="frozen"):
        expectation.severity = "warning"


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_gate_in_the_repository_is_valid_and_explained(file: Path) -> None:
    gate = load_gate(file)
    assert len(gate.description) > 20
    for batch in gate.batches.values():
        assert batch.key, "rows without a key cannot be named in a message"
