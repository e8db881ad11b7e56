"""Our list of expectations against the Great Expectations that is installed."""

import subprocess
import sys

import pytest

from tidewatch.quality.engine import import_gx
from tidewatch.quality.predicates import PREDICATES
from tidewatch.quality.predicates_sql import CONDITIONS
from tidewatch.quality.vocabulary import KINDS, NO_PREDICATE

ROW_TYPES = {name for name, kind in KINDS.items() if kind.level == "row"}


def test_every_type_and_argument_exists_in_great_expectations() -> None:
    import_gx()
    from great_expectations.expectations.registry import get_expectation_impl

    for name, kind in KINDS.items():
        fields = get_expectation_impl(name).__fields__
        assert set(kind.arguments) <= set(fields), name
        assert kind.conditional == ("row_condition" in fields), name


def test_every_row_level_expectation_of_great_expectations_is_known_to_us() -> None:
    import_gx()
    from great_expectations.expectations import expectation as gx
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    maps = (gx.ColumnMapExpectation, gx.ColumnPairMapExpectation, gx.MulticolumnMapExpectation)
    row_level = {
        name
        for name in list_registered_expectation_implementations()
        if issubclass(get_expectation_impl(name), maps)
    }
    assert row_level == ROW_TYPES | NO_PREDICATE


@pytest.mark.parametrize("known", [PREDICATES, CONDITIONS], ids=["pandas", "sql"])
def test_every_row_level_type_has_a_predicate(known: dict[str, object]) -> None:
    assert set(known) == ROW_TYPES


def test_reading_a_gate_does_not_import_great_expectations() -> None:
    code = (
        "import sys; from tidewatch.core.settings import load_settings; from tidewatch.quality import run; "
        "run.load_gate(load_settings().config_dir / 'gates' / 'backup.yaml'); "
        "print('great_expectations' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
